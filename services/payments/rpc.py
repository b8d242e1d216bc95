"""The door for calls: protobuf to commands, results to protobuf.

Why: one call is a batch of one. Webhooks and checkouts of all callers meet in Batchers; after its batch each checkout
goes on alone to the provider, because one slow call would hold up the rest (DESIGN 3).
"""

from collections.abc import Sequence
from datetime import timedelta

from onefold.payments.v1 import payments_service_pb2 as service_pb2
from onefold.payments.v1 import payments_service_pb2_grpc as service_grpc

from services.chassis.batch import batcher_for
from services.chassis.db import Database
from services.chassis.errors import DomainError, InvalidField
from services.chassis.grpc_server import Context, deadline_of, shielded
from services.chassis.messages import moment_of
from services.chassis.operations import Declined, OperationRunner, Retryable, Unknown
from services.payments import messages
from services.payments.config import PaymentsSettings
from services.payments.usecases import attempts, decisions, reading, reconcile, webhooks
from services.payments.usecases.errors import ProviderUnavailable, ReconcilerBusy

_FLUSHES = 2  # while one batch of webhooks is written the next is read; roots are locked in one order (S-4)
_EVENTS_KEPT = timedelta(days=30)  # at the provider (F-4)


class PaymentsServicer(service_grpc.PaymentsServiceServicer):
    """The calls of payments_service.proto."""

    def __init__(
        self, database: Database, settings: PaymentsSettings, context: decisions.Context, runner: OperationRunner
    ) -> None:
        self._database = database
        self._settings = settings
        self._context = context
        self._runner = runner
        self._provider = context.provider.name
        self._begins = batcher_for(settings, self._begin, name="create_payment")
        self._intake = batcher_for(settings, self._ingest, name="webhooks", flushes=_FLUSHES)
        self._reconciling = False

    async def close(self) -> None:
        """Finish the commands that wait."""
        await self._intake.close()
        await self._begins.close()

    async def CreatePayment(
        self, request: service_pb2.CreatePaymentRequest, context: Context
    ) -> service_pb2.CreatePaymentResponse:
        """Begins an attempt, or answers the live one."""
        deadline = deadline_of(context)
        command = messages.begin_of(request, self._context.provider)
        begun = await self._begins.submit(command, deadline=deadline)
        begun = await attempts.finish(self._database, self._context, self._runner, begun, deadline)
        return messages.begun_response(begun, self._provider)

    async def ConfirmPayment(
        self, request: service_pb2.ConfirmPaymentRequest, context: Context
    ) -> service_pb2.ConfirmPaymentResponse:
        """Asks the provider how a payment stands."""
        confirmation = await reading.confirm(self._database, self._context, request.provider_object_id)
        return messages.confirmation_response(confirmation)

    async def GetPayment(
        self, request: service_pb2.GetPaymentRequest, context: Context
    ) -> service_pb2.GetPaymentResponse:
        """Reads the payable of an order."""
        found = await reading.get(self._database, self._context, request.order_id.lower())
        return messages.reading_response(found, self._provider)

    async def IngestWebhooks(
        self, request: service_pb2.IngestWebhooksRequest, context: Context
    ) -> service_pb2.IngestWebhooksResponse:
        """Stores and applies authentic webhooks; answers after the commit."""
        batch = messages.webhooks_of(request, self._context.clock.now())
        results: list[service_pb2.WebhookResult] = []
        for result in await self._intake.submit_all(batch, deadline=deadline_of(context)):
            if isinstance(result, DomainError):
                raise result
            results.append(messages.result_message(result))
        return service_pb2.IngestWebhooksResponse(results=results)

    @shielded
    async def ReconcilePayments(
        self, request: service_pb2.ReconcilePaymentsRequest, context: Context
    ) -> service_pb2.ReconcilePaymentsResponse:
        """Runs the reconciler over a window now."""
        now = self._context.clock.now()
        until = moment_of(request.until, "until") if request.HasField("until") else now
        since = moment_of(getattr(request, "from"), "from") if request.HasField("from") else now - timedelta(days=1)
        if since >= until:
            raise InvalidField("from", "must be before until")
        if since < now - _EVENTS_KEPT:
            raise InvalidField("from", "must be at most 30 days ago")
        if self._reconciling:  # a caller whose deadline passed stopped nothing
            raise ReconcilerBusy
        self._reconciling = True
        try:
            done = await reconcile.reconcile(self._database, self._context, self._intake.submit_all, since, until)
        except (Declined, Retryable, Unknown) as error:
            raise ProviderUnavailable from error
        finally:
            self._reconciling = False
        return service_pb2.ReconcilePaymentsResponse(
            events_recovered=done.events_recovered, orphans_ended=done.orphans_ended, incidents=done.incidents
        )

    async def _begin(self, commands: Sequence[attempts.Begin]) -> list[attempts.Begun | DomainError]:
        return await attempts.begin(self._database, self._context, commands)

    async def _ingest(self, batch: Sequence[webhooks.Webhook]) -> list[webhooks.Result]:
        return await webhooks.ingest(self._database, self._context, batch)
