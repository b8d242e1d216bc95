"""Requests and answers of the calls: protobuf to commands, results to protobuf.

Why: the door stays a list of calls that reads like the protocol, and each message is translated in one place.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from onefold.common.v1 import common_pb2
from onefold.inventory.v1 import inventory_pb2
from onefold.inventory.v1 import inventory_service_pb2 as service_pb2

from services.chassis.errors import DomainError, InvalidField, to_refusal
from services.chassis.messages import timestamp
from services.inventory import domain, usecases
from services.inventory.store.levels import LedgerEntry


def items_of(request: service_pb2.UpsertItemsRequest) -> list[domain.Item]:
    """The items to upsert. Raises InvalidField for a SKU or a currency that comes twice."""
    problems: list[tuple[str, str]] = []
    seen: set[str] = set()
    for index, item in enumerate(request.items):
        path = f"items[{index}]"
        if item.sku in seen:
            problems.append((f"{path}.sku", f"{item.sku} comes twice"))
        seen.add(item.sku)
        currencies = [price.currency for price in item.prices]
        problems += (
            (f"{path}.prices[{place}].currency", f"{currency} comes twice")
            for place, currency in enumerate(currencies)
            if currency in currencies[:place]
        )
        problems += (
            (f"{path}.prices[{place}].amount_minor", "must be at least 0")
            for place, price in enumerate(item.prices)
            if price.amount_minor < 0
        )
    _refuse(problems)
    return [_item(item) for item in request.items]


def cart_of(request: service_pb2.CheckCartRequest) -> usecases.CheckCart:
    """The cart to check. Raises InvalidField for a line number that comes twice."""
    _refuse(_repeated_lines("", request.lines))
    return usecases.CheckCart(_wanted(request.lines), request.currency)


def reservations_of(request: service_pb2.BatchReserveStockRequest) -> list[usecases.Reservation]:
    """The reservations. Raises InvalidField for a line number that comes twice within one."""
    _refuse(
        [
            problem
            for index, wanted in enumerate(request.reservations)
            for problem in _repeated_lines(f"reservations[{index}].", wanted.lines)
        ]
    )
    return [
        usecases.Reservation(wanted.order_id, wanted.reservation, _wanted(wanted.lines), wanted.currency)
        for wanted in request.reservations
    ]


def undos_of(request: service_pb2.BatchUndoReservationsRequest) -> list[usecases.Undo]:
    """The reservations to undo."""
    return [usecases.Undo(undo.order_id, undo.reservation) for undo in request.reservations]


def adjustments_of(request: service_pb2.AdjustStockRequest) -> list[domain.Adjustment]:
    """The changes of on-hand stock."""
    return [domain.Adjustment(change.sku, change.location, change.delta) for change in request.adjustments]


def position_of(page_token: str) -> int:
    """The ledger's position that a page token names. Raises InvalidField."""
    if not page_token:
        return 0
    if not page_token.isascii() or not page_token.isdigit() or len(page_token) > 18:
        raise InvalidField("page_token", "is not one of ours")
    return int(page_token)


def reserve_response(
    asked: Sequence[usecases.Reservation], outcomes: Sequence[domain.Hold | domain.Refused | DomainError | None]
) -> service_pb2.BatchReserveStockResponse:
    """What became of each reservation. Made by one call: a message that is put into another is copied each time."""
    results = [_reserve_result(outcome, each.order_id) for each, outcome in zip(asked, outcomes, strict=True)]
    return service_pb2.BatchReserveStockResponse(results=results)


def cart_response(cart: domain.Cart) -> service_pb2.CheckCartResponse:
    """A checked cart."""
    return service_pb2.CheckCartResponse(
        problems=[_problem(problem) for problem in cart.problems],
        lines=[
            inventory_pb2.HeldLine(
                line=line.line, sku=line.sku, quantity=line.quantity, name=line.name, unit_price=_money(line.price)
            )
            for line in cart.lines
        ],
    )


def level_message(row: domain.StockRow) -> inventory_pb2.StockLevel:
    """The counters of one level."""
    return inventory_pb2.StockLevel(
        sku=row.sku,
        location=row.location,
        on_hand=row.on_hand,
        reserved=row.reserved,
        available=row.available,
        shipped=row.shipped,
    )


def ledger_message(entry: LedgerEntry) -> inventory_pb2.StockLedgerEntry:
    """One entry of the ledger."""
    moved = entry.movement
    return inventory_pb2.StockLedgerEntry(
        position=entry.position,
        sku=moved.sku,
        location=moved.location,
        on_hand_delta=moved.on_hand,
        reserved_delta=moved.reserved,
        shipped_delta=moved.shipped,
        kind=moved.kind,
        reason=entry.reason,
        actor=entry.actor,
        order_id=moved.order_id,
        occurred_at=timestamp(entry.occurred_at),
    )


def _reserve_result(outcome: domain.Hold | domain.Refused | DomainError | None, order_id: str) -> Any:
    if isinstance(outcome, domain.Hold):
        return {"hold": _hold(outcome, order_id)}
    if isinstance(outcome, domain.Refused):
        outcome = _error(outcome)
    assert outcome is not None  # only an undo has no answer
    return {"refusal": to_refusal(outcome)}


def _hold(hold: domain.Hold, order_id: str) -> Any:
    return {
        "order_id": order_id,
        "reservation": hold.reservation,
        "state": f"HOLD_STATE_{hold.state}",
        "lines": [
            {
                "line": held.line,
                "sku": held.sku,
                "quantity": held.reserved,
                "location": held.location,
                "name": held.name,
                "unit_price": held.price and {"amount_minor": held.price.amount_minor, "currency": held.price.currency},
            }
            for held in hold.lines
        ],
        "lapses_at": timestamp(hold.lapses_at),
    }


_ERRORS: dict[domain.RefusedReason, type[DomainError]] = {
    domain.RefusedReason.CART_REJECTED: usecases.CartRejected,
    domain.RefusedReason.RESERVATION_UNDONE: usecases.ReservationUndone,
    domain.RefusedReason.ORDER_PLACED: usecases.OrderPlaced,
}


def _refuse(problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        (field, wrong), *more = problems
        raise InvalidField(field, wrong, *more)


def _repeated_lines(path: str, lines: Iterable[service_pb2.WantedLine]) -> list[tuple[str, str]]:
    seen: set[int] = set()
    problems: list[tuple[str, str]] = []
    for index, wanted in enumerate(lines):
        if wanted.line in seen:
            problems.append((f"{path}lines[{index}].line", f"line {wanted.line} comes twice"))
        seen.add(wanted.line)
    return problems


def _wanted(lines: Iterable[service_pb2.WantedLine]) -> tuple[domain.WantedLine, ...]:
    return tuple(
        domain.WantedLine(
            wanted.line,
            wanted.sku,
            wanted.quantity,
            domain.Price(wanted.seen_unit_price.amount_minor, wanted.seen_unit_price.currency)
            if wanted.HasField("seen_unit_price")
            else None,
        )
        for wanted in lines
    )


def _item(item: inventory_pb2.Item) -> domain.Item:
    return domain.Item(
        sku=item.sku,
        name=item.name,
        prices={price.currency: price.amount_minor for price in item.prices},
        available=item.available,
        weight_grams=item.weight_grams,
        variant_ids=dict(item.variant_ids),
        low_stock_threshold=item.low_stock_threshold,
    )


def _money(price: domain.Price | None) -> common_pb2.Money | None:
    return None if price is None else common_pb2.Money(amount_minor=price.amount_minor, currency=price.currency)


def _problem(problem: domain.CartProblem) -> common_pb2.CartProblem:
    return common_pb2.CartProblem(
        kind=common_pb2.CartProblem.Kind.Value(f"KIND_{problem.kind}"),
        sku=problem.sku,
        available=problem.available,
        requested=problem.requested,
        price_was=_money(problem.price_was),
        price_now=_money(problem.price_now),
        maximum=problem.maximum,
    )


def _error(refused: domain.Refused) -> DomainError:
    problems = [_problem(problem) for problem in refused.problems]
    return _ERRORS[refused.reason](details=[common_pb2.CartProblems(problems=problems)] if problems else [])
