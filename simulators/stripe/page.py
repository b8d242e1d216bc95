"""The hosted payment page: what a customer's browser sees, and what a test posts, after `session.url`."""

from html import escape
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ..shared.hangup import NoAnswer
from .account import Account
from .checkout import Checkout, return_url
from .errors import StripeError, refused
from .forms import Params, decode
from .methods import NUMBERS
from .money import shown
from .objects import Object

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Pay $amount (simulated)</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem}
button{padding:.6rem 1rem;margin:.3rem 0;width:100%}input,select{width:100%;padding:.5rem;box-sizing:border-box}
li{display:flex;justify-content:space-between}ul{padding:0}.note{color:#a00}</style></head>
<body><p>Simulated Stripe Checkout: no real card is charged.</p>
<ul>$lines</ul><h1>$amount</h1><p class="note" role="alert">$note</p>$forms</body></html>""")

_TIMEOUTS = frozenset({"timeout_before", "timeout_after"})

_PAY = """<form method="post"><label>Card number
<input name="card_number" value="4242 4242 4242 4242" inputmode="numeric" autocomplete="off"></label>
<button name="action" value="pay">Pay</button></form>
<form method="post"><button name="action" value="abandon">Back to the shop</button></form>"""
_AUTHENTICATE = """<form method="post"><p>Your bank asks you to confirm this payment.</p>
<button name="action" value="authenticate">Complete authentication</button>
<button name="action" value="fail_authentication">Fail authentication</button></form>"""


class HostedPage:
    """`GET` shows the session; `POST action=pay|authenticate|fail_authentication|abandon` acts as the customer."""

    def __init__(self, account: Account, checkout: Checkout) -> None:
        self._account = account
        self._checkout = checkout

    def routes(self) -> list[BaseRoute]:
        """The one path of the page."""
        return [Route("/c/pay/{id}", self._show, methods=["GET"]), Route("/c/pay/{id}", self._act, methods=["POST"])]

    async def _show(self, request: Request) -> Response:
        try:
            row = self._account.sessions.get(request.path_params["id"])
        except StripeError as failure:
            return HTMLResponse(escape(str(failure)), failure.status)
        return HTMLResponse(self._html(row, ""))

    async def _act(self, request: Request) -> Response:
        """303 to the merchant, or the page again with what went wrong (402)."""
        as_json = "application/json" in request.headers.get("accept", "")
        identifier = request.path_params["id"]
        try:
            row = self._account.sessions.get(identifier)
            fault = self._account.faults.take_api(
                "stripe", "checkout.sessions.pay", self._account.owner(row), _TIMEOUTS
            )
            if fault is not None and fault.kind == "timeout_before":
                return NoAnswer(close=fault.answer == "close")
            target = self._do(row, Params(decode((await request.body()).decode())))
            if fault is not None:
                return NoAnswer(close=fault.answer == "close")
        except StripeError as failure:
            return self._failed(identifier, failure, as_json)
        if as_json:
            return JSONResponse({"session": row, "redirect_url": target})
        return RedirectResponse(target, 303) if target else HTMLResponse(self._html(row, ""))

    def _do(self, row: Object, params: Params) -> str | None:
        """Act, and say where the browser goes: None while the customer has more to do here."""
        action = params.choice("action", ("pay", "authenticate", "fail_authentication", "abandon"), "pay")
        if action == "abandon":
            if not row["cancel_url"]:
                raise refused("This Checkout Session has no cancel_url.")
            return return_url(row["cancel_url"], row["id"])
        if action == "pay":
            self._checkout.pay(row["id"], self._method(params))
        else:
            self._checkout.authenticate(row["id"], action == "authenticate")
        return return_url(row["success_url"], row["id"]) if row["status"] == "complete" else None

    def _method(self, params: Params) -> str:
        method_id = params.text("payment_method")
        if method_id is not None:
            return method_id
        number = (params.text("card_number") or "4242424242424242").replace(" ", "")
        if number not in NUMBERS:
            raise StripeError(402, "card_error", "Your card number is invalid.", kept=False, code="invalid_number")
        return NUMBERS[number]

    def _failed(self, identifier: str, failure: StripeError, as_json: bool) -> Response:
        row = self._account.sessions.rows.get(identifier)
        if as_json or row is None:
            return JSONResponse({**failure.body, "session": row}, failure.status)
        return HTMLResponse(self._html(row, str(failure)), failure.status)

    def _html(self, row: Object, note: str) -> str:
        lines = "".join(
            f"<li><span>{item['quantity']} x {escape(item['description'])}</span>"
            f"<span>{shown(item['amount_total'], item['currency'])}</span></li>"
            for item in self._account.line_items[row["id"]]
        )
        intent = self._account.intents.rows.get(row["payment_intent"] or "")
        forms = _PAY
        if row["status"] != "open":
            forms, note = "", f"This payment page is {row['status']}."
        elif intent is not None and intent["status"] == "requires_action":
            forms = _AUTHENTICATE
        amount = shown(row["amount_total"], row["currency"])
        return _PAGE.substitute(amount=amount, lines=lines, note=escape(note), forms=forms)
