"""Refusals of fulfillment, as callers see them."""

from services.chassis.errors import NotFound, Refused


class NotFulfilled(NotFound):
    """Nothing was asked of fulfillment for the order {order_id} yet."""

    reason = "FULFILLMENT_NOT_FOUND"


class TooLate(Refused):
    """The present state of the fulfilment does not allow this."""

    reason = "TOO_LATE"
