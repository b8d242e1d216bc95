"""The demo from the catalogue to the verdict, with progress.

Why: the order of the acts is a story of its own; what each act does stands elsewhere.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.demo import catalogue, script
from ops.demo.customers import Played, play
from ops.demo.doors import Doors, opened
from ops.demo.finish import Unfinished, disappointments, wait_for_orders
from ops.demo.script import Checkout, Story
from ops.local.stack import Stack

AT_ONCE: Final = 16  # customers at the doors at one time
REST_SECONDS: Final = 60.0


async def run(stack: Stack, seed: int, console: Console) -> bool:
    """Play it on a running stack; True if every customer got what the story allows and the audit finds nothing."""
    async with opened(stack.environment) as doors:
        rows = catalogue.read()
        await catalogue.load(doors, rows)
        before = await catalogue.stock_of(doors, [row.sku for row in rows])
        console.print(f"{len(rows)} items in stock, {sum(level.on_hand for level in before):,} units")
        checkouts = script.write(seed, rows)
        with _progress(console) as progress:
            played = await _play_all(doors, checkouts, progress)
            try:
                await _wait(doors, played, progress)
            except Unfinished as error:
                console.print(f"[red]not finished within {REST_SECONDS:g} s:[/red]")
                console.print(str(error), markup=False)
                return False
        problems = disappointments(played)
        for problem in problems:
            console.print(problem, markup=False)
        return not problems


async def _play_all(doors: Doors, checkouts: Sequence[Checkout], progress: Progress) -> list[Played]:
    """First what needs the world for itself, then everybody at once."""
    task = progress.add_task("checkouts", total=len(checkouts))
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(checkout: Checkout) -> Played:
        async with gate:
            played = await play(doors, checkout)
        progress.advance(task)
        return played

    alone = [await one(checkout) for checkout in checkouts if checkout.story is Story.TIMES_OUT]
    rest = [one(checkout) for checkout in checkouts if checkout.story is not Story.TIMES_OUT]
    return [*alone, *await asyncio.gather(*rest)]


async def _wait(doors: Doors, played: Sequence[Played], progress: Progress) -> None:
    task = progress.add_task("orders at rest", total=sum(bool(one.order_id) for one in played))
    await wait_for_orders(doors, played, REST_SECONDS, lambda done: progress.update(task, completed=done))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
