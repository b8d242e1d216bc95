"""Logs, metrics and the trace context that travels with calls and events.

Why: a line says what happened and to which ids, never what was said; bodies, secrets and addresses stay out.
"""

import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import structlog
from prometheus_client import Counter, Gauge, Histogram

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")


class Logger(Protocol):
    """Takes an event's name in snake case and ids as keywords: `log.info("order_placed", order_id=...)`."""

    def debug(self, event: str, **ids: Any) -> Any: ...
    def info(self, event: str, **ids: Any) -> Any: ...
    def warning(self, event: str, **ids: Any) -> Any: ...
    def error(self, event: str, **ids: Any) -> Any: ...
    def exception(self, event: str, **ids: Any) -> Any: ...


def configure_logging(service: str, level: str = "info") -> None:
    """One JSON object per line on standard output, libraries' own logs from WARNING on included."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        _named(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(default=str)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared[:3], structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            shared[3],
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)


def get_logger(name: str) -> Logger:
    """The logger of a module; its lines carry `module=name`."""
    logger: Logger = structlog.get_logger(module=name)
    return logger


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    """A count that only grows; `name` without prefix, ending in `_total`."""
    return Counter(f"onefold_{name}", meaning, labels)


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    """A value that goes up and down."""
    return Gauge(f"onefold_{name}", meaning, labels)


def histogram(
    name: str, meaning: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = LATENCY_SECONDS
) -> Histogram:
    """A distribution; `name` ends in its unit, `_seconds` for the default buckets."""
    return Histogram(f"onefold_{name}", meaning, labels, buckets=buckets)


def new_traceparent() -> str:
    """A fresh W3C trace context, sampled."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def current_traceparent() -> str:
    """The trace context of the call or event being worked on; empty outside of one."""
    return _traceparent.get()


def set_traceparent(traceparent: str) -> None:
    """Make it the present task's trace context, if it is a valid one; else begin a trace."""
    _traceparent.set(traceparent if _TRACEPARENT.fullmatch(traceparent) else new_traceparent())


@contextmanager
def traced(traceparent: str) -> Iterator[None]:
    """Work on something that carries `traceparent`; the former context comes back afterwards."""
    token = _traceparent.set(traceparent)
    try:
        yield
    finally:
        _traceparent.reset(token)


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits that all parts of one trace share; empty if there is none."""
    return traceparent[3:35]


def _named(service: str) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("service", service)
        return event

    return add
