"""Checkout Sessions own their intent (F-7), expire by time or call (F-56); fulfil by payment_status (F-6)."""

from functools import partial

from . import charging, money
from .account import Account, order_of
from .errors import parameter_invalid, parameter_missing, refused
from .forms import Params
from .objects import Object, payment_intent
from .session_objects import checkout_session, line_item

SHORTEST_SECONDS = 30 * 60
LONGEST_SECONDS = 24 * 3_600
PLACEHOLDER = "{CHECKOUT_SESSION_ID}"

_CREATE = frozenset(
    [
        "adaptive_pricing",
        "after_expiration",
        "allow_promotion_codes",
        "allowed_payment_method_types",
        "automatic_tax",
        "billing_address_collection",
        "branding_settings",
        "cancel_url",
        "client_reference_id",
        "consent_collection",
        "currency",
        "custom_fields",
        "custom_text",
        "customer",
        "customer_account",
        "customer_creation",
        "customer_email",
        "customer_update",
        "discounts",
        "excluded_payment_method_types",
        "expand",
        "expires_at",
        "integration_identifier",
        "invoice_creation",
        "line_items",
        "locale",
        "managed_payments",
        "metadata",
        "mode",
        "name_collection",
        "optional_items",
        "origin_context",
        "payment_intent_data",
        "payment_method_collection",
        "payment_method_configuration",
        "payment_method_options",
        "payment_method_types",
        "permissions",
        "phone_number_collection",
        "redirect_on_completion",
        "return_url",
        "saved_payment_method_options",
        "shipping_address_collection",
        "shipping_options",
        "submit_type",
        "success_url",
        "tax_id_collection",
        "ui_mode",
        "wallet_options",
    ]
)
_INTENT_DATA = frozenset(
    [
        "application_fee_amount",
        "capture_method",
        "description",
        "metadata",
        "on_behalf_of",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
        "transfer_group",
    ]
)


class Checkout:
    """The sessions of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._intent_data: dict[str, Object] = {}
        account.intent_watchers.append(self._follow)

    def create(self, params: Params, origin: str) -> Object:
        """A session to pay for `line_items`; its page lives under `origin`."""
        params.only(_CREATE)
        if params.choice("mode", ("payment",)) is None:
            raise parameter_missing("mode")
        if params.choice("ui_mode", ("hosted_page", "hosted"), "hosted_page") and not params.text("success_url"):
            raise parameter_missing("success_url")
        now = self._account.now()
        expires_at = params.integer("expires_at", now + LONGEST_SECONDS) or 0
        if not now + SHORTEST_SECONDS <= expires_at <= now + LONGEST_SECONDS:
            message = (
                "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."
            )
            raise parameter_invalid("expires_at", message)
        items = [_item(item, now) for item in params.groups("line_items")]
        if not items:
            raise parameter_missing("line_items")
        currencies = {item["currency"] for item in items}
        if len(currencies) > 1:
            raise parameter_invalid("line_items", "All prices of a Checkout Session must be in the same currency.")
        currency = currencies.pop()
        shipping = _shipping_cost(params)
        subtotal = sum(item["amount_total"] for item in items)
        money.check(subtotal + shipping, currency, "line_items")
        row = checkout_session(currency, subtotal, shipping, now, expires_at, params.metadata())
        row["url"] = f"{origin}/c/pay/{row['id']}"
        for key in ("success_url", "cancel_url", "client_reference_id", "customer", "customer_email", "locale"):
            row[key] = params.text(key)
        row["payment_method_types"] = params.texts("payment_method_types") or ["card"]
        self._intent_data[row["id"]] = _intent_data(params.group("payment_intent_data"))
        order_id = order_of(row) or self._intent_data[row["id"]]["metadata"].get("order_id")
        self._account.keep(self._account.sessions, row, order_id)
        self._account.line_items[row["id"]] = items
        self._account.agenda.at(expires_at, partial(self._lapse, row))
        return row

    def retrieve(self, identifier: str, params: Params) -> Object:
        """The session as it is now."""
        params.only({"expand"})
        return self._account.sessions.get(identifier)

    def update(self, identifier: str, params: Params) -> Object:
        """Only metadata can change."""
        params.only({"metadata", "expand"})
        row = self._account.sessions.get(identifier)
        row["metadata"] = params.metadata(row["metadata"])
        return row

    def expire(self, identifier: str, params: Params) -> Object:
        """End an open session, so that nobody can pay it any more; this is how its intent is cancelled (F-7)."""
        params.only({"expand"})
        row = self._account.sessions.get(identifier)
        if row["status"] != "open":
            allowed = 'Only Checkout Sessions with a status in ["open"] can be expired.'
            message = f"{allowed} This Session has a status of {row['status']}."
            raise refused(message)
        self._expire(row)
        return row

    def pay(self, identifier: str, method_id: str) -> Object:
        """The customer pays on the page; a decline raises, and leaves the session open."""
        row = self._account.sessions.get(identifier)
        if row["status"] != "open":
            raise refused(f"This Checkout Session is {row['status']} and can no longer be paid.")
        intent = self._intent_of(row)
        if intent["status"] == "requires_action":
            intent["status"] = "requires_payment_method"
        charging.attempt(self._account, intent, method_id, row["success_url"])
        return row

    def authenticate(self, identifier: str, succeed: bool) -> Object:
        """The customer passes or fails 3-D Secure on the page."""
        row = self._account.sessions.get(identifier)
        charging.authenticate(self._account, self._intent_of(row), succeed)
        return row

    def clear(self) -> None:
        """Forget what belongs to sessions of an earlier life."""
        self._intent_data.clear()

    def _intent_of(self, row: Object) -> Object:
        """The session's intent, made when the customer first pays."""
        account = self._account
        if row["payment_intent"] is not None:
            return account.intents.rows[row["payment_intent"]]
        data = self._intent_data[row["id"]]
        metadata = dict(data["metadata"])
        intent = payment_intent(row["amount_total"], row["currency"], account.now(), data["capture_method"], metadata)
        intent.update(description=data["description"], receipt_email=data["receipt_email"] or row["customer_email"])
        intent["customer"] = row["customer"]
        account.keep(account.intents, intent, order_of(intent) or account.owner(row))
        account.session_of[intent["id"]] = row["id"]
        row["payment_intent"] = intent["id"]
        account.emit("payment_intent.created", intent)
        return intent

    def _follow(self, intent: Object) -> None:
        """What the session makes of its intent's new state."""
        session_id = self._account.session_of.get(intent["id"])
        if session_id is None:
            return
        row = self._account.sessions.rows[session_id]
        status = intent["status"]
        if row["status"] == "open" and status in ("succeeded", "processing", "requires_capture"):
            row.update(status="complete", url=None, payment_status="paid" if status == "succeeded" else "unpaid")
            row["customer_details"] = {
                "address": None,
                "business_name": None,
                "email": row["customer_email"] or "customer@example.com",
                "individual_name": None,
                "name": "Jenny Rosen",
                "phone": None,
                "tax_exempt": "none",
                "tax_ids": [],
            }
            self._account.emit("checkout.session.completed", row)
        elif row["status"] == "complete" and row["payment_status"] == "unpaid":
            self._follow_async(row, intent)

    def _follow_async(self, row: Object, intent: Object) -> None:
        if intent["status"] == "succeeded":
            row["payment_status"] = "paid"
            if intent["capture_method"] != "manual":
                self._account.emit("checkout.session.async_payment_succeeded", row)
        elif intent["status"] == "requires_payment_method":
            self._account.emit("checkout.session.async_payment_failed", row)

    def _lapse(self, row: Object) -> None:
        if row["status"] == "open":
            self._expire(row)

    def _expire(self, row: Object) -> None:
        row.update(status="expired", url=None)
        if row["payment_intent"] is not None:
            charging.cancel(self._account, self._account.intents.rows[row["payment_intent"]], "automatic")
        self._account.emit("checkout.session.expired", row)


def return_url(template: str, session_id: str) -> str:
    """Where the browser goes next; Stripe puts the session's id into the placeholder."""
    return template.replace(PLACEHOLDER, session_id)


def _item(params: Params, now: int) -> Object:
    params.only(
        {"adjustable_quantity", "dynamic_tax_rates", "metadata", "price", "price_data", "quantity", "tax_rates"}
    )
    if params.given("price"):
        raise parameter_invalid(params.name("price"), "This simulator keeps no catalogue: send price_data.")
    price = params.group("price_data")
    currency = money.currency(price)
    unit = price.integer("unit_amount")
    if unit is None:
        raise parameter_missing(price.name("unit_amount"))
    if unit < 0:
        raise parameter_invalid(price.name("unit_amount"), "Invalid non-negative integer")
    quantity = params.integer("quantity", 1) or 0
    if quantity < 1:
        raise parameter_invalid(params.name("quantity"), "This value must be greater than or equal to 1.")
    name = price.group("product_data").text("name") or price.required("product")
    return line_item(name, unit, quantity, currency, now)


def _shipping_cost(params: Params) -> int:
    options = params.groups("shipping_options")
    if not options:
        return 0
    fixed = options[0].group("shipping_rate_data").group("fixed_amount")
    return fixed.integer("amount", 0) or 0


def _intent_data(params: Params) -> Object:
    params.only(_INTENT_DATA)
    methods = ("automatic", "automatic_async", "manual")
    return {
        "capture_method": params.choice("capture_method", methods, "automatic_async"),
        "description": params.text("description"),
        "metadata": params.metadata(),
        "receipt_email": params.text("receipt_email"),
    }
