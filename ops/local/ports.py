"""Ports of the local stack: a free one, or a clear word that one is taken.

Why: a second stack, or another program, on the same port must be an error at once and not a puzzle later (F-44).
"""

import random
import socket
from typing import Final

from ops.local.child import LocalStackError

HOST: Final = "127.0.0.1"
_RANGE: Final = range(20_000, 32_000)  # below what systems hand out by themselves, above the stack's own defaults
_CHOICE: Final = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody uses now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Several different free ports, none of which this process was given before.

    Between the choice and the server's start a port is anybody's. Those that the system hands out by itself, to every
    outgoing connection and every bind to port 0, would be taken away in between now and then; these are not among them.
    """
    found: list[int] = []
    for port in _CHOICE.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            break
        if port not in _given and _is_free(port):
            _given.add(port)
            found.append(port)
    if len(found) < count:
        raise LocalStackError(f"no {count} free ports between {_RANGE.start} and {_RANGE.stop}")
    return found


def require_free(port: int, owner: str, setting: str) -> None:
    """Raise LocalStackError when `port` is taken; `setting` is the variable that chooses another."""
    listen(port, owner, setting).close()  # a connection that goes out from this port holds it, too


def is_open(port: int, *, timeout_seconds: float = 0.2) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(timeout_seconds)
        return probe.connect_ex((HOST, port)) == 0


def listen(port: int, owner: str, setting: str) -> socket.socket:
    """A socket that listens on the port (0: a free one). Raises LocalStackError when it is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise LocalStackError(_taken(port, owner, setting)) from error
    return listener


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _taken(port: int, owner: str, setting: str) -> str:
    return f"port {port} for {owner} is taken; stop what uses it or set {setting} to another"
