"""Where the local stack keeps its files.

Why: everything stays below one folder that can be removed, and a server that may not run as root must reach its files.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SERVER_USER: Final = "nobody"
SHARED_TEMP: Final = Path("/var/tmp")
MEMORY: Final = Path("/dev/shm")
ROOM_IN_MEMORY: Final = 2 << 30  # bytes


def state_folder() -> Path:
    """Databases, logs and Kafka of `onefold up`: `.onefold/` in the project's root, or ONEFOLD_STATE_DIR."""
    return Path(os.environ.get("ONEFOLD_STATE_DIR") or ROOT / ".onefold").resolve()


def cache_folder() -> Path:
    """What was downloaded and may be kept: `.onefold/cache`, or ONEFOLD_CACHE_DIR."""
    return Path(os.environ.get("ONEFOLD_CACHE_DIR") or ROOT / ".onefold" / "cache").resolve()


def temporary_folder(prefix: str, place: Path | None = None) -> Path:
    """A new folder, in `place` or where the system keeps such, that a server's account can walk to."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    folder.chmod(0o755)
    return folder


def in_memory() -> Path | None:
    """A place for what need not outlive a crash, such as tests' hundreds of databases of three hundred files each; None
    without room. Programs must be allowed there, too, for copies of the servers may have to lie beside their data."""
    try:
        facts = os.statvfs(MEMORY)
        available = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    limits = (facts.f_bavail * facts.f_frsize, int(available[1]) * 1024 if available else 0)
    return MEMORY if min(limits) >= ROOM_IN_MEMORY and not facts.f_flag & os.ST_NOEXEC else None


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """One process at a time; the others wait. Raises OSError where the lock's file cannot be made."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def server_account() -> pwd.struct_passwd | None:
    """The account for a server that refuses root; None when we are not root and need no other."""
    return pwd.getpwnam(SERVER_USER) if os.geteuid() == 0 else None


def reachable_by_others(path: Path) -> bool:
    """Whether an account without rights of its own may walk to `path` (which need not exist yet)."""
    return all(bool(folder.stat().st_mode & stat.S_IXOTH) for folder in path.resolve().parents if folder.exists())


def place_for(account: pwd.struct_passwd | None, wanted: Path) -> Path:
    """`wanted`, or a folder in /var/tmp that belongs to it when `account` could not walk to `wanted`."""
    if account is None or reachable_by_others(wanted):
        return wanted
    digest = hashlib.sha256(str(wanted.resolve()).encode()).hexdigest()[:16]
    return SHARED_TEMP / f"onefold-{digest}"


def own_folder(path: Path, account: pwd.struct_passwd | None) -> Path:
    """Make `path` for `account` alone (mode 0700), parents included."""
    path.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid not in {os.geteuid(), account.pw_uid if account else os.geteuid()}:
        raise PermissionError(f"{path} belongs to somebody else")
    path.chmod(0o700)
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def purge(state: Path) -> None:
    """Remove all local state but what was downloaded, wherever it had to be put."""
    shutil.rmtree(place_for(server_account(), state / "postgres"), ignore_errors=True)
    for entry in state.glob("*"):
        if entry.resolve() == cache_folder():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
