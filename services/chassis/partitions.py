"""Tables that are partitioned by time: partitions are made ahead and dropped when their rows are too old.

Why: rows that prove that an event, webhook or operation was handled outlive the topic by 30 days, and dropping a
partition costs nothing, while deleting its rows would (S-28).
"""

from dataclasses import dataclass
from typing import Final

from services.chassis.db import Database

KEEP_DAYS: Final = 60
_AHEAD: Final = 2  # partitions of 30 days

_CREATE: Final = "SELECT create_partitions($1, $2)"
_DROP: Final = "SELECT drop_partitions($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """A table by its name; where rows can stay open, `closed_at` is the column that is NULL until they are closed."""

    name: str
    closed_at: str | None = None


CHASSIS_TABLES: Final = (
    PartitionedTable("inbox"),
    PartitionedTable("operations", "settled_at"),
)


async def keep_partitions(
    database: Database,
    tables: tuple[PartitionedTable, ...] = CHASSIS_TABLES,
    *,
    keep_days: int = KEEP_DAYS,
) -> int:
    """Make partitions for what is to come and drop those past keeping; returns how many changed. For a daily job."""
    changed: int = 0
    for table in tables:
        changed += await database.fetchval(_CREATE, table.name, _AHEAD)
        changed += await database.fetchval(_DROP, table.name, keep_days, table.closed_at)
    return changed
