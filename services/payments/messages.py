"""Calls as commands, results as messages.

Why: the door reads like a list of calls, and what a message must hold beyond its own rules is checked in one place.
"""

from datetime import datetime

from onefold.payments.v1 import payments_pb2
from onefold.payments.v1 import payments_service_pb2 as service_pb2

from services.chassis.errors import InvalidField
from services.chassis.ids import new_id
from services.chassis.messages import moment_of
from services.payments import domain, published
from services.payments.providers.base import Checkout, NotPayable, Provider
from services.payments.usecases.attempts import Begin, Begun
from services.payments.usecases.reading import Confirmation, Reading
from services.payments.usecases.webhooks import Result, Webhook, WebhookOutcome

_OUTCOMES = {o: service_pb2.WebhookOutcome.Value(f"WEBHOOK_OUTCOME_{o.name}") for o in WebhookOutcome}


def begin_of(request: service_pb2.CreatePaymentRequest, provider: Provider) -> Begin:
    """CreatePayment as a command. Raises InvalidField for an amount that the provider cannot take (F-12)."""
    try:
        provider.check_amount(request.due.amount_minor, request.due.currency)
    except NotPayable as error:
        raise InvalidField("due.amount_minor", str(error)) from error
    order_id = request.order_id.lower()
    create = domain.CreatePayment(
        attempt_id=new_id(),
        request_id=request.request_id,
        due=domain.Money(request.due.amount_minor, request.due.currency),
        flow=domain.Flow(payments_pb2.Flow.Name(request.flow).removeprefix("FLOW_")),
        manual_capture=request.manual_capture,
    )
    until = moment_of(request.payable_until, "payable_until") if request.HasField("payable_until") else None
    checkout = Checkout(order_id, request.order_number, request.email, until, request.manual_capture)
    return Begin(create, checkout)


def begun_response(begun: Begun, provider: str) -> service_pb2.CreatePaymentResponse:
    """The attempt, and how the customer gets to it."""
    return service_pb2.CreatePaymentResponse(
        attempt=published.attempt_message(begun.payable, begun.attempt, provider),
        client_secret=begun.secret,
        checkout_url=begun.url,
    )


def confirmation_response(confirmation: Confirmation) -> service_pb2.ConfirmPaymentResponse:
    """What the provider says."""
    return service_pb2.ConfirmPaymentResponse(
        success=confirmation.success,
        payment_state=confirmation.word,
        message=confirmation.message,
        order_id=confirmation.order_id,
    )


def reading_response(reading: Reading, provider: str) -> service_pb2.GetPaymentResponse:
    """The payable, and how the customer gets to its live attempt."""
    return service_pb2.GetPaymentResponse(
        payment=published.payment_message(reading.payable, provider),
        client_secret=reading.secret,
        checkout_url=reading.url,
    )


def webhooks_of(request: service_pb2.IngestWebhooksRequest, now: datetime) -> list[Webhook]:
    """The webhooks of a call."""
    return [
        Webhook(
            w.source, w.body, moment_of(w.received_at, "webhooks.received_at") if w.HasField("received_at") else now
        )
        for w in request.webhooks
    ]


def result_message(result: Result) -> service_pb2.WebhookResult:
    """What became of one webhook."""
    return service_pb2.WebhookResult(outcome=_OUTCOMES[result.outcome], event_id=result.event_id)
