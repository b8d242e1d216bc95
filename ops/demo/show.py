"""The demo from the catalogue to the verdict, with progress.

Why: the order of the acts is a story of its own; what each act does stands elsewhere.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.audit import exit_code, text_of
from ops.audit.run import Verdict, audit
from ops.audit.sources import Places
from ops.demo import books, catalogue, report, script
from ops.demo.customers import Played, play
from ops.demo.doors import Doors, mails, opened
from ops.demo.finish import Unfinished, disappointments, wait_for_orders
from ops.demo.finish import orders as all_orders
from ops.demo.script import Checkout, Story
from ops.local.stack import Stack

AT_ONCE: Final = 16  # customers at the doors at one time
REST_SECONDS: Final = 120.0
QUIET_SECONDS: Final = 30.0


async def run(stack: Stack, seed: int, console: Console, *, quick: bool = False) -> bool:
    """Play it on a running stack; True if every customer got what the story allows and the audit finds nothing."""
    async with opened(stack.environment) as doors:
        rows = catalogue.read()
        await catalogue.load(doors, rows)
        before = await catalogue.stock_of(doors, [row.sku for row in rows])
        console.print(f"{len(rows)} items in stock, {sum(level.on_hand for level in before):,} units")
        checkouts = script.write(seed, rows, quick=quick)
        with _progress(console) as progress:
            played = await _play_all(doors, checkouts, progress)
            try:
                await _wait(doors, played, progress)
            except Unfinished as error:
                console.print(f"[red]not finished within {REST_SECONDS:g} s:[/red]")
                console.print(str(error), markup=False)
                return False
            verdict = await _audit(stack, progress)
        orders = await all_orders(doors)
        report.show_outcomes(console, played, orders)
        report.show_money(console, await books.money(stack.environment, await doors.world.stripe.ledgers()))
        after = await catalogue.stock_of(doors, [row.sku for row in rows])
        parcels = await doors.world.printful.ledgers()
        report.show_goods(console, before, after, parcels, await books.parcels(stack.environment), await mails(doors))
        shown = next(one for one in played if one.checkout.story is Story.DUPLICATED)
        title = f"Order {orders[shown.order_id].number}: {shown.checkout.story}"
        report.show_timeline(console, title, await books.timeline(stack.environment, shown.order_id))
        for kind, count in (await books.incidents(stack.environment)).items():
            console.print(f"open incident for a person: {kind} ({count})")
        return _conclude(console, disappointments(played), verdict)


async def _play_all(doors: Doors, checkouts: Sequence[Checkout], progress: Progress) -> list[Played]:
    """First what needs the world for itself, then everybody at once."""
    task = progress.add_task("checkouts", total=len(checkouts))
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(checkout: Checkout) -> Played:
        async with gate:
            played = await play(doors, checkout)
        progress.advance(task)
        return played

    alone = [one(checkout) for checkout in checkouts if checkout.story is Story.TIMES_OUT]
    rest = [one(checkout) for checkout in checkouts if checkout.story is not Story.TIMES_OUT]
    return [*await asyncio.gather(*alone), *await asyncio.gather(*rest)]


async def _wait(doors: Doors, played: Sequence[Played], progress: Progress) -> None:
    task = progress.add_task("orders at rest", total=sum(bool(one.order_id) for one in played))
    await wait_for_orders(doors, played, REST_SECONDS, lambda done: progress.update(task, completed=done))


async def _audit(stack: Stack, progress: Progress) -> Verdict:
    """The audit, when the last event has been applied and the last mail has arrived."""
    task = progress.add_task("audit", total=1)
    verdict = await audit(Places.told_by(stack.environment), patience_seconds=QUIET_SECONDS, at_rest=True)
    progress.advance(task)
    return verdict


def _conclude(console: Console, problems: Sequence[str], verdict: Verdict) -> bool:
    for problem in problems:
        console.print(f"not as expected: {problem}", style="red", markup=False)
    console.print(text_of(verdict), style="red" if exit_code(verdict) else "green", markup=False)
    return not problems and exit_code(verdict) == 0 and verdict.events > 0


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
