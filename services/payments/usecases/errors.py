"""Errors of payments that callers see."""

from services.chassis.errors import DependencyUnavailable, NotFound, Refused


class PayableClosed(Refused):
    """The payment of this order was cancelled."""

    reason = "PAYABLE_CLOSED"


class AlreadyPaid(Refused):
    """Money for this order has already come."""

    reason = "ALREADY_PAID"


class AmountDiffers(Refused):
    """Another amount is due for this order."""

    reason = "AMOUNT_DIFFERS"


class ProviderRefused(Refused):
    """The payment provider refused to begin this payment ({provider_code})."""

    reason = "PROVIDER_REFUSED"


class ProviderUnavailable(DependencyUnavailable):
    """The payment provider did not answer; repeat the call: same attempt, same answer."""

    reason = "PROVIDER_UNAVAILABLE"


class ReconcilerBusy(DependencyUnavailable):
    """The reconciler runs; repeat the call when it is done."""

    reason = "RECONCILER_BUSY"


class PaymentNotFound(NotFound):
    """No payment is known for this order."""

    reason = "PAYMENT_NOT_FOUND"


class ProviderObjectNotFound(NotFound):
    """The payment provider knows no such payment."""

    reason = "PROVIDER_OBJECT_NOT_FOUND"


REFUSALS: dict[str, type[Refused]] = {kind.reason: kind for kind in (PayableClosed, AlreadyPaid, AmountDiffers)}
