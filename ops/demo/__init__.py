"""`onefold demo`: a hundred checkouts through every part of Onefold, and the proof that all of them add up.

Why: what a newcomer sees in the first three minutes is the real thing: four services, their databases, Kafka, signed
webhooks, parcels and mails; and the last line is a verdict, not a promise.
"""

import asyncio
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Annotated, Final

import typer
from rich.console import Console

from ops.local import paths
from ops.local.child import LocalStackError
from ops.local.environment import Ports
from ops.local.stack import Stack

# Nobody wants to wait for abandoned carts, for webhooks that never come, and for calls whose answers got lost: their
# leases last three time-outs.
SHORTER: Final = {
    "ONEFOLD_ORDERS_PAYABLE_MS": "6000",
    "ONEFOLD_PAYMENTS_RECONCILE_INTERVAL_MS": "5000",
    "ONEFOLD_PAYMENTS_RECONCILE_WINDOW_MS": "30000",
    "ONEFOLD_FULFILLMENT_WATCH_EVERY_MS": "30000",
    "ONEFOLD_PAYMENTS_PROVIDER_TIMEOUT_MS": "2000",
    "ONEFOLD_FULFILLMENT_PROVIDER_TIMEOUT_MS": "2000",
}
WIDTH: Final = 110  # of a log, which has none of its own


def demo(
    seed: Annotated[int, typer.Option(help="Which hundred checkouts.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Play each story twice only.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep databases, logs and mails to look at.")] = False,
) -> None:
    """Play a hundred checkouts through everything, and audit them; exit 0 only if all adds up."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    state = paths.temporary_folder("onefold-demo-")
    began, fine, interrupted = time.monotonic(), False, False
    signal.signal(signal.SIGTERM, _interrupt)  # so that nothing is left behind then, either
    stack = Stack(state, at=Ports.free(), extra=SHORTER, throwaway=not keep, report=console.print)
    try:
        with ThreadPoolExecutor(1) as meanwhile:
            loading = meanwhile.submit(import_module, "ops.demo.show")  # half a second, and nobody waits for it
            with stack:
                console.print(f"ready after {time.monotonic() - began:.1f} s; logs are in {state / 'logs'}")
                fine = asyncio.run(loading.result().run(stack, seed, console, quick=quick))
    except LocalStackError as error:
        raise SystemExit(f"onefold: {error}") from error
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if keep:
            console.print(f"kept: {state}")
        else:
            _forget(stack, logs_too=fine or interrupted)
            if not (fine or interrupted):
                console.print(f"logs are kept: {state / 'logs'}")
    console.print(f"{time.monotonic() - began:.1f} s in all")
    raise typer.Exit(0 if fine else 1)


def _forget(stack: Stack, *, logs_too: bool) -> None:
    """Remove what the stack has written; logs stay for whoever wants to know what went wrong."""
    stack.postgres.purge()
    for entry in stack.state.iterdir():
        if entry.name != "logs":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if logs_too:
        shutil.rmtree(stack.state)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
