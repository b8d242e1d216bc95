"""A process that commits events at a pace, as a service does: `python -m bench.writer 500 2.0`.

Why: whoever measures a relay must not share its event loop with the work of the one who feeds it, nor wait while that
one opens its connections, for a service has done so long ago.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bench.events import order_created
from bench.load import at_pace
from bench.world import POOL, World
from services.chassis import outbox
from services.chassis.config import load
from services.chassis.db import Database
from services.orders.config import OrdersSettings

WARM_S: Final = 0.5


async def committed(world: World, per_second: float, seconds: float) -> Mapping[str, float]:
    """Let such a process run: event id -> when its commit returned, by time.perf_counter, which all processes share."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(per_second), str(seconds)),
        env={**world.environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the writer ended with {process.returncode}")
    times: Mapping[str, float] = json.loads(output)
    return times


async def _write(per_second: float, seconds: float) -> dict[str, float]:
    times: dict[str, float] = {}
    database = await Database.connect(load(OrdersSettings))

    async def write() -> None:
        message = order_created()
        event = outbox.outgoing(message, key=message.context.order_id, now=datetime.now(UTC))
        async with database.transaction() as tx:
            await outbox.append(tx, [event])
        times[event.id] = time.perf_counter()

    await asyncio.gather(*(write() for _ in range(POOL)))  # opens every connection, each of which takes 10 ms of CPU
    await at_pace(write, per_second=per_second, seconds=WARM_S)
    times.clear()
    await at_pace(write, per_second=per_second, seconds=seconds)
    await database.close()
    return times


if __name__ == "__main__":
    json.dump(asyncio.run(_write(float(sys.argv[1]), float(sys.argv[2]))), sys.stdout)
