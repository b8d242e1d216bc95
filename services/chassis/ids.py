"""Ids of rows and events, and the order number that people read.

Why: ids that grow with time keep indexes small; numbers without look-alikes survive a telephone call.
"""

import os
import threading
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LOOK_ALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})
_NUMBER_LENGTH = 10
_COUNTER_BITS = 74
_LOW_BITS = 62
_LOW = (1 << _LOW_BITS) - 1
_VARIANT = 0b10 << _LOW_BITS
_STEPS = 1024


class InvalidOrderNumber(ValueError):
    """The text is not an order number."""


def new_id() -> str:
    """A UUIDv7 as text; every id of this process is greater than the ones before it."""
    return _generator.next()  # a quarter of the time of uuid.UUID, and an order makes seven


def new_order_number() -> str:
    """Ten random characters of Crockford's base 32, for example `7K3M92QXTF`; unique only by the table's constraint."""
    bits = int.from_bytes(os.urandom(7))
    return "".join([_PAIRS[(bits >> 10 * place) & 1023] for place in range(_NUMBER_LENGTH // 2)])


def display_number(number: str) -> str:
    """The number as people see it: `7K3M-92QXTF`."""
    return f"{number[:4]}-{number[4:]}"


def parse_number(text: str) -> str:
    """The number that a person typed: case, dashes, blanks and look-alikes do not matter. Raises InvalidOrderNumber."""
    number = text.upper().translate(_LOOK_ALIKES)
    if len(number) != _NUMBER_LENGTH or any(character not in _ALPHABET for character in number):
        raise InvalidOrderNumber("an order number has ten letters and digits, for example 7K3M-92QXTF")
    return number


class _Generator:
    """48 bits of milliseconds, then 74 bits that start at random in each millisecond and only grow within it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = 0
        self._prefix = ""  # the milliseconds and the version, as they are written
        self._counter = 0
        self._steps: list[int] = []  # random numbers of 32 bits, drawn many at a time: a system call each was dearer
        os.register_at_fork(after_in_child=self._steps.clear)  # or parent and child would take the same ones

    def next(self) -> str:
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._milliseconds:
                self._begin(now)
            else:  # the same millisecond, or the clock was set back
                if not self._steps:
                    self._steps.extend(memoryview(os.urandom(4 * _STEPS)).cast("I"))
                self._counter += 1 + self._steps.pop()
                if self._counter >> _COUNTER_BITS:
                    self._begin(self._milliseconds + 1)
            counter, prefix = self._counter, self._prefix
        low = f"{_VARIANT | counter & _LOW:x}"
        return f"{prefix}{counter >> _LOW_BITS:03x}-{low[:4]}-{low[4:]}"

    def _begin(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self._prefix = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7"
        self._counter = int.from_bytes(os.urandom(10)) >> 7  # 73 of 74 bits: room to grow


_generator = _Generator()
