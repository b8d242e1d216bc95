"""Parquet files: written whole, or joined from smaller ones.

Why: everything that needs pyarrow is here, and works in pieces, so that memory does not grow with the archive.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from consumers.analytics.files import UNFINISHED, ArchiveFile, make_folder, put_in_place
from consumers.analytics.rows import Row

SCHEMA: Final = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("event_id", pa.string()),
        pa.field("type", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("traceparent", pa.string(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
        pa.field("headers", pa.map_(pa.string(), pa.binary())),
        pa.field("body", pa.string()),
        pa.field("problem", pa.string()),
    ]
)
_BATCH_ROWS: Final = 5_000


def write(folder: Path, rows: Sequence[Row]) -> list[ArchiveFile]:
    """Archive rows of one partition in offset order; one file per run of one day.

    A crash leaves the files of a beginning of `rows`, never a gap.
    """
    files = []
    for day, of_day in groupby(rows, key=attrgetter("day")):
        run = list(of_day)
        file = ArchiveFile(run[0].topic, day, run[0].partition, run[0].offset, run[-1].offset)
        columns = {
            name: pa.array([getattr(row, name) for row in run], SCHEMA.field(name).type) for name in SCHEMA.names
        }
        _store(folder / file.name, [pa.RecordBatch.from_pydict(columns, SCHEMA)])
        files.append(file)
    return files


def join(folder: Path, files: Sequence[ArchiveFile]) -> ArchiveFile:
    """One file with what neighbouring `files` of one partition and day hold; they stay for whoever reads them."""
    first, last = files[0], files[-1]
    whole = ArchiveFile(first.topic, first.day, first.partition, first.first, last.last)
    _store(folder / whole.name, _batches(folder / file.name for file in files))
    return whole


def _batches(paths: Iterable[Path]) -> Iterator[Any]:
    for path in paths:
        with pq.ParquetFile(path) as source:
            yield from source.iter_batches(_BATCH_ROWS)


def _store(path: Path, batches: Iterable[Any]) -> None:
    make_folder(path.parent)
    unfinished = path.with_name(path.name + UNFINISHED)
    # Dictionaries of ids, which are all different, cost time and a third of the file.
    with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd", use_dictionary=False) as writer:
        for batch in batches:
            writer.write_batch(batch)
    put_in_place(unfinished, path)
