"""Refusals of inventory, as callers see them."""

from services.chassis.errors import NotFound, Refused


class CartRejected(Refused):
    """The cart cannot be ordered as it is; see its problems."""

    reason = "CART_REJECTED"


class ReservationUndone(Refused):
    """This reservation number has lapsed, was undone or replaced; take the next number."""

    reason = "RESERVATION_UNDONE"


class OrderPlaced(Refused):
    """The order was placed already; its stock changes by its own requests only."""

    reason = "ORDER_PLACED"


class BelowReserved(Refused):
    """{sku} at {location} has {on_hand} units of which {reserved} are reserved; {delta} would leave too few."""

    reason = "BELOW_RESERVED"


class UnknownSku(NotFound):
    """The catalogue does not know the SKU {sku}."""

    reason = "UNKNOWN_SKU"
