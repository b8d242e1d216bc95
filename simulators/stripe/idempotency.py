"""Idempotency keys exactly as F-9 has them: the services' safety against double charges rests on them."""

from collections import OrderedDict
from dataclasses import dataclass

from ..shared.clock import SimulatorClock
from .errors import idempotency_in_use, idempotency_mismatch, parameter_invalid

KEPT_SECONDS = 24 * 3_600
LONGEST_KEY = 255


@dataclass
class Record:
    """The first request of a key; `answer` (status, body, request id) is None while it is under way."""

    path: str
    fingerprint: str
    began: float
    answer: tuple[int, bytes, str] | None = None


class IdempotencyKeys:
    """The keys of the last 24 hours."""

    def __init__(self, clock: SimulatorClock) -> None:
        self._clock = clock
        self._records: OrderedDict[str, Record] = OrderedDict()

    def begin(self, key: str, path: str, fingerprint: str) -> Record:
        """A fresh record to fill, or one with the first answer to replay; raises on misuse and on concurrent use."""
        if len(key) > LONGEST_KEY:
            message = f"Idempotency keys can be at most {LONGEST_KEY} characters long."
            raise parameter_invalid("idempotency_key", message)
        self._drop_expired()
        record = self._records.get(key)
        if record is None:
            record = Record(path, fingerprint, self._clock.now())
            self._records[key] = record
            return record
        if record.path != path:
            message = "Keys for idempotent requests can only be used for the same endpoint they were first used for "
            raise idempotency_mismatch(key, f"{message}('{path}' vs '{record.path}').")
        if record.fingerprint != fingerprint:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            raise idempotency_mismatch(key, message)
        if record.answer is None:
            raise idempotency_in_use(key)
        return record

    def forget(self, key: str) -> None:
        """A failed validation leaves nothing behind: the key is free for another try."""
        self._records.pop(key, None)

    def clear(self) -> None:
        """Forget all keys."""
        self._records.clear()

    def _drop_expired(self) -> None:
        limit = self._clock.now() - KEPT_SECONDS
        while self._records:
            key, record = next(iter(self._records.items()))
            if record.began > limit:
                return
            del self._records[key]
