"""idle: what the whole stack costs while nothing happens.

Why: most shops are quiet most of the time, and a developer's machine runs all nine processes.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

from bench.goals import GOALS, IDLE_CPU_OF_A_CORE, IDLE_MB, IDLE_MB_ANALYTICS
from bench.harness import Plan, Result, Spread
from bench.world import World
from ops.local.environment import Ports
from ops.local.stack import Stack

NAME: Final = "idle"
MB: Final = 1_000_000
ANALYTICS: Final = "analytics"
SECONDS: Final = 10.0  # heartbeats come every three seconds, an autovacuum every ten
SETTLE_S: Final = 5.0  # leaders are elected, groups are formed
SERVERS: Final = ("PostgreSQL", "Kafka")


async def measure(world: World, plan: Plan) -> Result:
    """The benchmark; unit: share of the allowance (1 is all). Each round starts a stack: no two settle alike."""
    rounds = []
    for number in range(plan.rounds):
        with tempfile.TemporaryDirectory(prefix=f"onefold-idle-{number}-", dir=world.stack.state.parent) as folder:
            Path(folder).chmod(0o755)
            with Stack(Path(folder), Ports.free(), profile="demo", forks=False) as stack:  # they share no memory
                await asyncio.sleep(SETTLE_S)
                rounds.append(await _round(stack, max(SECONDS, plan.seconds)))
    shares = [max(cpu / IDLE_CPU_OF_A_CORE, memory) for cpu, memory, _ in rounds]
    cpu = Spread.of([100 * each for each, _, _ in rounds])
    return Result(
        name=NAME,
        unit="of allowance",
        goal=GOALS[NAME],
        ours=Spread.of(shares),
        limit=Spread.of([1.0]),
        over_limit=Spread.of(shares),
        rounds=len(rounds),
        notes=[f"CPU of all: {cpu.median:.1f} % ({cpu.low:.1f}..{cpu.high:.1f}) of a core (goal: 3)", rounds[-1][2]],
    )


async def _round(stack: Stack, seconds: float) -> tuple[float, float, str]:
    """CPU in cores; the largest share that a process takes of its memory's allowance; memory and CPU of each."""
    pids = {name: child.pid for name, child in stack.processes.items()}
    pids |= {"PostgreSQL": stack.postgres.pid, "Kafka": stack.kafka.pid}
    before = {name: _cpu_s(pid) for name, pid in pids.items()}
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - started
    cpu = {name: (_cpu_s(pid) - before[name]) / took for name, pid in pids.items()}
    memory = {name: psutil.Process(pid).memory_info().rss / MB for name, pid in pids.items() if name not in SERVERS}
    share = max(size / (IDLE_MB_ANALYTICS if name == ANALYTICS else IDLE_MB) for name, size in memory.items())
    sizes = {name: f" {size:.0f} MB" for name, size in memory.items()}
    told = ", ".join(f"{name} {100 * cpu[name]:.1f} %{sizes.get(name, '')}" for name in pids)
    return sum(cpu.values()), share, told


def _cpu_s(pid: int) -> float:
    """CPU of a process and its children (PostgreSQL's workers) so far."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True)) if each.is_running()]
    own = process.cpu_times()
    return sum(each.user + each.system for each in times) + own.children_user + own.children_system
