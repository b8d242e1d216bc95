"""Many items at once, or one by one where one of them fails the others.

Why: a group costs one transaction, and a bad item costs itself only, with a person told of it (R-5.6).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from services.chassis.db import is_broken_plumbing

Item = TypeVar("Item")
Result = TypeVar("Result")


async def together(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Awaitable[Result]],
    failed: Callable[[Item, Exception], Awaitable[Result]],
) -> list[Result]:
    """What `work` returned: once for all items, or once for each.

    An item that fails alone is given to `failed`, which tells a person or puts it off. `work` leaves nothing behind
    when it raises, or may be repeated. Broken plumbing says nothing about an item and is raised (S-26).
    """
    if not items:
        return []
    try:
        return [await work(items)]
    except Exception as error:
        if is_broken_plumbing(error):
            raise
        if len(items) == 1:
            return [await failed(items[0], error)]
    return [result for item in items for result in await together([item], work, failed)]
