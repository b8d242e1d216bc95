"""`onefold bench`: our figures beside a rival's and the machine's.

Why: one command shows what is claimed, and a machine can read its last line.
"""

import asyncio
import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from rich.console import Console

# Benchmark to module; `growth` takes long and is asked for by name.
BENCHMARKS: Final = {
    "order-create": "bench.order_create",
    "order-batch": "bench.order_batch",
    "hot-sku": "bench.hot_sku",
    "outbox-drain": "bench.outbox_drain",
    "outbox-latency": "bench.outbox_latency",
    "inbox": "bench.inbox",
    "webhook": "bench.webhook",
    "checkout": "bench.checkout",
    "growth": "bench.growth",
    "idle": "bench.idle",
}
ALL: Final = "all"
ON_DEMAND: Final = ("growth",)


def bench(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(BENCHMARKS)}; or all (but growth).")] = ALL,
    as_json: Annotated[bool, typer.Option("--json", help="The last line of each is one JSON object.")] = False,
    seconds: Annotated[float, typer.Option(help="How long each side runs in a round.", min=0.2, max=600)] = 3.0,
    rounds: Annotated[int, typer.Option(help="Rounds that are counted.", min=1, max=50)] = 5,
) -> None:
    """Measure ours, the peer and the limit in turns; print a table."""
    if name != ALL and name not in BENCHMARKS:
        raise typer.BadParameter(f"no benchmark {name}; there are {', '.join(BENCHMARKS)}")
    os.environ |= {"GRPC_ENABLE_FORK_SUPPORT": "0"}  # read when grpc is loaded: our children exec at once
    from bench import harness
    from bench.world import world

    console = Console(stderr=True, highlight=False)
    results = []
    with world() as opened:
        for each in [name] if name != ALL else [each for each in BENCHMARKS if each not in ON_DEMAND]:
            console.print(f"{each} ...")
            module: Any = import_module(BENCHMARKS[each])
            results.append(asyncio.run(module.measure(opened, harness.Plan(seconds, rounds))))
            console.print(results[-1].as_json(), soft_wrap=True)
    sys.stdout.write(f"{harness.table(results)}\n")
    if as_json:
        sys.stdout.writelines(f"{result.as_json()}\n" for result in results)
    sys.stdout.flush()
