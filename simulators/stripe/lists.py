"""Lists, filters by time and `expand`, which work alike for every kind of object."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from .account import EVENTS_KEPT_SECONDS, Account, Table
from .errors import parameter_invalid, refused
from .forms import Params
from .objects import Object, page

_PAGING = frozenset({"limit", "starting_after", "ending_before", "created", "expand"})
_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda created, bound: created > bound,
    "gte": lambda created, bound: created >= bound,
    "lt": lambda created, bound: created < bound,
    "lte": lambda created, bound: created <= bound,
}


def listing(table: Table, params: Params, url: str, filters: frozenset[str], least_created: int = 0) -> Object:
    """One page, newest first: `limit` 1 to 100, `starting_after`, `ending_before`, `created`, and equality filters."""
    params.only(_PAGING | filters)
    limit = params.integer("limit", 10) or 0
    if not 1 <= limit <= 100:
        raise parameter_invalid("limit", "This value must be between 1 and 100.", "parameter_invalid_integer")
    wanted = {key: params.texts(key) for key in filters if params.given(key)}
    if "types" in wanted:
        wanted["type"] = wanted.pop("types")
    bounds = _created(params)
    ending_before = params.text("ending_before")
    rows = table.newer_than(ending_before) if ending_before else table.newest_first(params.text("starting_after"))
    oldest = max([bound for word, bound in bounds if word in ("gt", "gte")], default=0)
    found = list(islice(_matching(rows, wanted, bounds, max(oldest, least_created), not ending_before), limit + 1))
    data = found[:limit]
    return page(url, data[::-1] if ending_before else data, len(found) > limit)


def events(account: Account, params: Params) -> Object:
    """The event log: 30 days of it (F-4)."""
    least = account.now() - EVENTS_KEPT_SECONDS
    found = listing(account.events, params, "/v1/events", frozenset({"type", "types", "delivery_success"}), least)
    return {**found, "data": [event(row) for row in found["data"]]}


def event(row: Object) -> Object:
    """An event of the log as it was when it happened."""
    written: Object = json.loads(row["letter"].body)
    return written


def expand(account: Account, row: Object, params: Params) -> Object:
    """A copy in which each path of `expand[]` holds the object in place of its id."""
    for path in params.texts("expand"):
        row = _expanded(account, row, path.split("."), path)
    return row


def _created(params: Params) -> list[tuple[str, int]]:
    value = params.values.get("created")
    if value is None:
        return []
    if isinstance(value, str):
        exact = params.integer("created") or 0
        return [("gte", exact), ("lte", exact)]
    group = params.group("created")
    group.only(_BOUNDS)
    return [(word, group.integer(word) or 0) for word in group.values]


def _matching(
    rows: Iterator[Object], wanted: dict[str, list[str]], bounds: list[tuple[str, int]], oldest: int, descending: bool
) -> Iterator[Object]:
    for row in rows:
        if row["created"] < oldest:
            if descending:
                return
            continue
        if all(_BOUNDS[word](row["created"], bound) for word, bound in bounds) and _fits(row, wanted):
            yield row


def _fits(row: Object, wanted: dict[str, list[str]]) -> bool:
    for key, values in wanted.items():
        if key == "delivery_success":
            continue
        if key == "type" and any(value.endswith("*") and row["type"].startswith(value[:-1]) for value in values):
            continue
        if row.get(key) not in values:
            return False
    return True


def _expanded(account: Account, row: Object, parts: list[str], path: str) -> Object:
    head, *rest = parts
    if head not in row:
        raise refused(f"This property cannot be expanded ({path}).", param="expand")
    value: Any = row[head]
    if isinstance(value, str):
        found = account.find(value)
        value = found if found is not None else value
    if rest and isinstance(value, list):
        value = [_expanded(account, item, rest, path) for item in value]
    elif rest and isinstance(value, dict):
        value = _expanded(account, value, rest, path)
    return {**row, head: value}
