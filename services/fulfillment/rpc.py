"""The door for calls: protobuf to causes, roots to protobuf.

Why: one call is a batch of one; webhooks of all callers meet in a Batcher, so that one commit carries many (DESIGN 3).
"""

from collections.abc import Sequence

from onefold.fulfillment.v1 import fulfillment_service_pb2 as service_pb2
from onefold.fulfillment.v1 import fulfillment_service_pb2_grpc as service_grpc

from services.chassis.batch import Batcher, batcher_for
from services.chassis.db import Database, Transaction
from services.chassis.errors import DomainError
from services.chassis.grpc_server import Context, answer_once, deadline_of
from services.fulfillment import domain, messages, usecases
from services.fulfillment.config import FulfillmentSettings
from services.fulfillment.store import fulfillments
from services.fulfillment.store.webhooks import StoredWebhook


class FulfillmentServicer(service_grpc.FulfillmentServiceServicer):
    """The calls of fulfillment_service.proto."""

    def __init__(self, database: Database, settings: FulfillmentSettings, context: usecases.Context) -> None:
        self._database = database
        self._context = context
        self._intake: Batcher[StoredWebhook, bool] = batcher_for(settings, self._take_in, name="webhooks")

    async def close(self) -> None:
        """Finish the commands that wait."""
        await self._intake.close()

    async def GetFulfillment(
        self, request: service_pb2.GetFulfillmentRequest, context: Context
    ) -> service_pb2.GetFulfillmentResponse:
        """Reads the fulfilment of an order."""
        order_id = request.order_id.lower()
        root = (await fulfillments.read(self._database, [order_id])).get(order_id)
        if root is None or not root.round:
            raise usecases.NotFulfilled(order_id=order_id)
        message = messages.fulfillment_message(root, self._context.provider.name)
        return service_pb2.GetFulfillmentResponse(fulfillment=message)

    async def IngestWebhooks(
        self, request: service_pb2.IngestWebhooksRequest, context: Context
    ) -> service_pb2.IngestWebhooksResponse:
        """Stores webhooks; answers after the commit (S-22)."""
        now = self._context.clock.now()
        read = [messages.webhook_of(webhook, self._context.provider, now) for webhook in request.webhooks]
        stored = [webhook for webhook in read if webhook is not None]
        answers = iter(await self._intake.submit_all(stored, deadline=deadline_of(context)))
        outcomes = []
        for webhook in read:
            answer = next(answers) if webhook is not None else None
            if isinstance(answer, DomainError):
                raise answer
            outcomes.append(_OUTCOMES[answer])
        return service_pb2.IngestWebhooksResponse(outcomes=outcomes)

    async def RetryFulfillment(
        self, request: service_pb2.RetryFulfillmentRequest, context: Context
    ) -> service_pb2.RetryFulfillmentResponse:
        """Tries a held or failed fulfilment again, with all its tries (R-4.7)."""

        async def effect(tx: Transaction) -> service_pb2.RetryFulfillmentResponse:
            step = usecases.Step(request.order_id.lower(), domain.RetryFulfillment(), request.request_id)
            (decision,) = await usecases.apply(tx, self._context, [step])
            if decision is None:
                raise usecases.NotFulfilled(order_id=step.order_id)
            if decision.outcome is domain.Outcome.REFUSED:
                raise usecases.TooLate(decision.note)
            message = messages.fulfillment_message(decision.fulfillment, self._context.provider.name)
            return service_pb2.RetryFulfillmentResponse(fulfillment=message)

        return await answer_once(
            self._database, request, context, service_pb2.RetryFulfillmentResponse, effect, subject=request.order_id
        )

    async def EditRecipient(
        self, request: service_pb2.EditRecipientRequest, context: Context
    ) -> service_pb2.EditRecipientResponse:
        """Corrects the recipient while no object exists at the provider."""
        recipient = messages.recipient_of(request.recipient)

        async def effect(tx: Transaction) -> service_pb2.EditRecipientResponse:
            order_id = request.order_id.lower()
            root = (await fulfillments.lock(tx, [order_id])).get(order_id)
            if root is None:
                raise usecases.NotFulfilled(order_id=order_id)
            if root.operations or root.provider_state is not domain.ProviderState.ABSENT:
                raise usecases.TooLate("the provider has the address already, or is being told it")
            await fulfillments.save_recipient(tx, order_id, recipient)
            message = messages.fulfillment_message(root, self._context.provider.name)
            return service_pb2.EditRecipientResponse(fulfillment=message)

        return await answer_once(
            self._database, request, context, service_pb2.EditRecipientResponse, effect, subject=request.order_id
        )

    async def _take_in(self, batch: Sequence[StoredWebhook]) -> list[bool]:
        return await self._database.run(lambda tx: usecases.take_in(tx, batch))


_OUTCOMES = {
    True: service_pb2.WEBHOOK_OUTCOME_STORED,
    False: service_pb2.WEBHOOK_OUTCOME_DUPLICATE,
    None: service_pb2.WEBHOOK_OUTCOME_MALFORMED,
}
