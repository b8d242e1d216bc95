"""Ports of the local stack: a free one, or a clear word that one is taken.

Why: a second stack, or another program, on the same port must be an error at once and not a puzzle later (F-44).
"""

import socket
from typing import Final

from ops.local.child import LocalStackError

HOST: Final = "127.0.0.1"


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Several different free ports."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


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


def _taken(port: int, owner: str, setting: str) -> str:
    return f"port {port} for {owner} is taken; stop what uses it or set {setting} to another"
