"""Questions about the archive: the views of `views.sql`, asked by DuckDB.

Why: whoever asks reads the files and nothing else, so that a question never holds up an event.
"""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from consumers.analytics import files

if TYPE_CHECKING:
    import duckdb

VIEWS: Final = Path(__file__).with_name("views.sql")
MEMORY: Final = "512MB"  # more spills to a temporary folder

# Without a zone, so that no machine's zone can shift a day.
_IN_UTC: Final = "* REPLACE (event_time AT TIME ZONE 'UTC' AS event_time)"

_EMPTY: Final = """
SELECT NULL::VARCHAR AS topic, NULL::INTEGER AS partition, NULL::BIGINT AS "offset", NULL::VARCHAR AS event_id,
       NULL::VARCHAR AS type, NULL::TIMESTAMP AS event_time, NULL::VARCHAR AS key, NULL::VARCHAR AS body,
       NULL::VARCHAR AS problem
 WHERE false
"""


class UnknownQuestion(Exception):
    """There is no view of that name."""


@dataclass(frozen=True)
class Answer:
    """A table: its column names and its rows."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]


def names() -> list[str]:
    """What can be asked."""
    return re.findall(r"^CREATE VIEW (\w+)", VIEWS.read_text(), re.MULTILINE)


def query(name: str, folder: Path, *, limit: int = 10_000) -> Answer:
    """The rows of the view `name`, at most `limit`. Raises UnknownQuestion."""
    if name not in names():
        raise UnknownQuestion(f"{name} cannot be asked, only {', '.join(names())}")
    return ask(f'SELECT * FROM "{name}" LIMIT {int(limit)}', folder)


def ask(sql: str, folder: Path) -> Answer:
    """The answer to any SELECT over the views; times are in UTC."""
    with closing(_open(folder)) as connection:
        result = connection.execute(sql)
        return Answer([column[0] for column in result.description], result.fetchall())


def _open(folder: Path) -> "duckdb.DuckDBPyConnection":
    import duckdb

    connection = duckdb.connect(config={"memory_limit": MEMORY, "autoinstall_known_extensions": "false"})
    paths = ", ".join("'" + str(folder / name).replace("'", "''") + "'" for name in _current(folder))
    source = f"SELECT {_IN_UTC} FROM read_parquet([{paths}], hive_partitioning = false)" if paths else _EMPTY
    connection.execute(f"CREATE VIEW archive AS {source}")
    connection.execute(VIEWS.read_text())
    return connection


def _current(folder: Path) -> list[str]:
    """The files of this moment, without those that were joined into larger ones: what comes later is not seen."""
    present = set(files.scan(folder))
    return sorted(file.name for file in present - {file for file, _ in files.superseded(present)})
