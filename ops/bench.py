"""`onefold bench`: our figures beside a rival's and the machine's.

Why: one command shows what is claimed, and a machine can read its last line.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

if TYPE_CHECKING:
    from bench.harness import Plan, Result

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
    twice: Annotated[bool, typer.Option("--twice", help="Measure again; exit 1 unless both runs agree.")] = False,
) -> None:
    """Measure ours, the peer and the limit in turns; print a table."""
    if name != ALL and name not in BENCHMARKS:
        raise typer.BadParameter(f"no benchmark {name}; there are {', '.join(BENCHMARKS)}")
    os.environ |= {"GRPC_ENABLE_FORK_SUPPORT": "0"}  # read when grpc is loaded: our children exec at once
    from bench import agreement, harness

    names = [name] if name != ALL else [each for each in BENCHMARKS if each not in ON_DEMAND]
    runs = [_run(names, harness.Plan(seconds, rounds)) for _ in range(2 if twice else 1)]
    for results in runs:
        sys.stdout.write(f"{harness.table(results)}\n")
    compared = agreement.compare(*runs) if twice else []
    sys.stdout.writelines(f"{pair}\n" for pair in compared)
    if as_json:
        sys.stdout.writelines(f"{result.as_json()}\n" for results in runs for result in results)
    sys.stdout.flush()
    if not all(pair.agrees for pair in compared):
        raise typer.Exit(1)


def _run(names: Sequence[str], plan: "Plan") -> list["Result"]:
    """All of them one after the other, on servers of their own."""
    import uvloop

    from bench.world import world
    from services.chassis.process import collect_rarely

    collect_rarely()  # what runs in here runs as in a process of ours, be it ours, a peer or a limit
    console = Console(stderr=True, highlight=False)
    results: list[Result] = []
    with world() as opened:
        for name in names:
            console.print(f"{name} ...")
            module: Any = import_module(BENCHMARKS[name])
            results.append(uvloop.run(module.measure(opened, plan)))
            console.print(results[-1].as_json(), soft_wrap=True)
    return results
