"""Control of Stripe: what customers and banks do, and what the ledger says."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .. import views
from ..stripe import charging, disputes, refunds
from ..stripe.account import Account
from ..stripe.checkout import return_url
from ..stripe.errors import StripeError
from ..stripe.intents import PAYABLE
from ..stripe.ledger import totals
from ..stripe.objects import Object
from ..world import World

Words = dict[str, str]
Body = dict[str, Any]


def intent_view(account: Account, row: Object) -> views.IntentView:
    """An intent as control shows it."""
    error = row["last_payment_error"]
    return views.IntentView(
        id=row["id"],
        order_id=account.owner(row),
        status=row["status"],
        amount=row["amount"],
        amount_received=row["amount_received"],
        currency=row["currency"],
        payable=row["status"] in PAYABLE,
        client_secret=row["client_secret"],
        latest_charge=row["latest_charge"],
        error_code=(error.get("decline_code") or error["code"]) if error else None,
    )


def session_view(account: Account, row: Object, redirect_url: str | None = None) -> views.SessionView:
    """A session as control shows it."""
    intent = account.intents.rows.get(row["payment_intent"] or "")
    error = intent["last_payment_error"] if intent is not None else None
    return views.SessionView(
        id=row["id"],
        order_id=account.owner(row),
        status=row["status"],
        payment_status=row["payment_status"],
        payment_intent=row["payment_intent"],
        payable=row["status"] == "open",
        redirect_url=redirect_url,
        error_code=(error.get("decline_code") or error["code"]) if error else None,
    )


def order_ledger(account: Account, order_id: str | None) -> views.OrderLedger:
    """The truth about one order's money, or about everything."""
    if order_id is None:
        movements = list(account.ledger.movements)
        tables = {
            table.kind: list(table.rows.values())
            for table in (account.intents, account.sessions, account.refunds, account.disputes)
        }
    else:
        movements = account.ledger.of_order(order_id)
        tables = {
            table.kind: account.of_order(table, order_id)
            for table in (account.intents, account.sessions, account.refunds, account.disputes)
        }
    intents = [intent_view(account, row) for row in tables["payment_intent"]]
    sessions = [session_view(account, row) for row in tables["checkout.session"]]
    pending: dict[str, int] = {}
    for row in tables["refund"]:
        if row["status"] == "pending":
            pending[row["currency"]] = pending.get(row["currency"], 0) + row["amount"]
    payable = [view.id for view in intents if view.payable] + [view.id for view in sessions if view.payable]
    return views.OrderLedger(
        order_id=order_id,
        refund_pending=pending,
        payable=payable,
        intents=intents,
        sessions=sessions,
        refunds=[_refund_view(row) for row in tables["refund"]],
        disputes=[_dispute_view(row) for row in tables["dispute"]],
        **totals(movements),
    )


def _refund_view(row: Object) -> views.RefundView:
    return views.RefundView.model_validate(row)


def _dispute_view(row: Object) -> views.DisputeView:
    return views.DisputeView.model_validate(row)


def _ledger(world: World, words: Words, body: Body) -> views.OrderLedger:
    return order_ledger(world.account, words.get("order_id"))


def _ledgers(world: World, words: Words, body: Body) -> dict[str, Any]:
    return {order_id: order_ledger(world.account, order_id) for order_id in world.account.order_ids()}


def _movements(world: World, words: Words, body: Body) -> list[Any]:
    after = int(words.get("after", 0))
    return [asdict(movement) for movement in world.account.ledger.movements[after:]]


def _intent(world: World, words: Words) -> Object:
    return world.account.intents.get(words["id"])


def _confirm(world: World, words: Words, body: Body) -> views.IntentView:
    """The customer confirms; a decline is a state here, not an error."""
    account = world.account
    row = _intent(world, words)
    if row["status"] not in PAYABLE:
        raise StripeError(400, "invalid_request_error", f"The PaymentIntent is {row['status']}.")
    try:
        charging.attempt(account, row, body.get("payment_method", "pm_card_visa"), None)
    except StripeError as failure:
        if failure.status != 402:
            raise
    return intent_view(account, row)


def _authenticate(world: World, words: Words, body: Body) -> views.IntentView:
    row = _intent(world, words)
    charging.authenticate(world.account, row, bool(body.get("succeed", True)))
    return intent_view(world.account, row)


def _settle(world: World, words: Words, body: Body) -> views.IntentView:
    row = _intent(world, words)
    charging.settle(world.account, row, bool(body.get("succeed", True)))
    return intent_view(world.account, row)


def _lapse(world: World, words: Words, body: Body) -> views.IntentView:
    row = _intent(world, words)
    charging.lapse(world.account, row)
    return intent_view(world.account, row)


def _pay_session(world: World, words: Words, body: Body) -> views.SessionView:
    """The customer pays on the page; a decline leaves the session open."""
    account = world.account
    row = account.sessions.get(words["id"])
    try:
        world.checkout.pay(row["id"], body.get("payment_method", "pm_card_visa"))
    except StripeError as failure:
        if failure.status != 402:
            raise
    target = return_url(row["success_url"], row["id"]) if row["status"] == "complete" else None
    return session_view(account, row, target)


def _authenticate_session(world: World, words: Words, body: Body) -> views.SessionView:
    row = world.checkout.authenticate(words["id"], bool(body.get("succeed", True)))
    target = return_url(row["success_url"], row["id"]) if row["status"] == "complete" else None
    return session_view(world.account, row, target)


def _abandon_session(world: World, words: Words, body: Body) -> views.SessionView:
    row = world.account.sessions.get(words["id"])
    target = return_url(row["cancel_url"], row["id"]) if row["cancel_url"] else None
    return session_view(world.account, row, target)


def _fail_refund(world: World, words: Words, body: Body) -> views.RefundView:
    row = world.account.refunds.get(words["id"])
    return _refund_view(refunds.fail(world.account, row, body.get("reason", "expired_or_canceled_card")))


def _settle_refund(world: World, words: Words, body: Body) -> views.RefundView:
    return _refund_view(refunds.settle(world.account, world.account.refunds.get(words["id"])))


def _open_dispute(world: World, words: Words, body: Body) -> views.DisputeView:
    intent = world.account.intents.get(str(body["payment_intent"]))
    charge = world.account.charges.get(intent["latest_charge"] or "")
    reason = str(body.get("reason", "fraudulent"))
    return _dispute_view(disputes.open_dispute(world.account, charge, body.get("amount"), reason))


def _close_dispute(world: World, words: Words, body: Body) -> views.DisputeView:
    row = world.account.disputes.get(words["id"])
    return _dispute_view(disputes.close_dispute(world.account, row, bool(body["won"])))


def _emit(world: World, words: Words, body: Body) -> dict[str, Any]:
    return {"id": world.account.emit(str(body["type"]), dict(body["object"])).event_id}


TABLE: list[tuple[str, str, Callable[[World, Words, Body], Any]]] = [
    ("GET", "/stripe/ledger", _ledger),
    ("GET", "/stripe/ledgers", _ledgers),
    ("GET", "/stripe/movements", _movements),
    ("POST", "/stripe/payment_intents/{id}/confirm", _confirm),
    ("POST", "/stripe/payment_intents/{id}/authenticate", _authenticate),
    ("POST", "/stripe/payment_intents/{id}/settle", _settle),
    ("POST", "/stripe/payment_intents/{id}/lapse", _lapse),
    ("POST", "/stripe/sessions/{id}/pay", _pay_session),
    ("POST", "/stripe/sessions/{id}/authenticate", _authenticate_session),
    ("POST", "/stripe/sessions/{id}/abandon", _abandon_session),
    ("POST", "/stripe/refunds/{id}/fail", _fail_refund),
    ("POST", "/stripe/refunds/{id}/settle", _settle_refund),
    ("POST", "/stripe/disputes", _open_dispute),
    ("POST", "/stripe/disputes/{id}/close", _close_dispute),
    ("POST", "/stripe/events", _emit),
]
