"""What an operation is, and what a provider's adapter must be able to do with it.

Why: the parameters are fixed before the first try, and its id is its idempotency key for ever (S-15).
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from services.chassis.db import Transaction
from services.chassis.operations.errors import Declined
from services.chassis.telemetry import current_traceparent

ABSENT: Final = "ABSENT"  # error code: look-ups proved that the provider never executed it
PLANNED: Final = "operations"  # topic by which the job that runs operations is woken (`jobs.wake`)
WITHDRAWN: Final = "WITHDRAWN"  # error code: no longer wanted, and never sent


class OperationState(StrEnum):
    """PLANNED -> SENT -> SUCCEEDED | FAILED | UNKNOWN; UNKNOWN ends as one of the other two, or waits for a person."""

    PLANNED = "PLANNED"
    SENT = "SENT"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def open(self) -> bool:
        """Whether the provider may still execute it, as far as we know."""
        return self not in (OperationState.SUCCEEDED, OperationState.FAILED)


def operation_id(kind: str, subject: str, number: int) -> str:
    """The id of an operation: always the same for the same three, so a number cannot be planned twice.

    It has the shape of a UUIDv7 with the time of `subject` where that is one; the rest is a digest.
    """
    digest = int.from_bytes(hashlib.sha256(f"{kind}\0{subject}\0{number}".encode()).digest()[:16])
    value = digest & ((1 << 80) - 1) & ~(0xF << 76) & ~(0x3 << 62) | _milliseconds(subject) << 80 | 7 << 76 | 2 << 62
    return str(uuid.UUID(int=value))


def encode_parameters(parameters: Mapping[str, Any]) -> bytes:
    """Parameters as the bytes that are stored and sent; `Operation.parameters` reads them back."""
    return json.dumps(parameters, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class PlannedOperation:
    """What a use case wants to ask of a provider: the `number`th operation of `kind` for `subject` (1, 2, ...).

    `request` are the exact parameters. `idempotency_key` defaults to the operation's id; a provider with other rules
    for references (F-17) gets its own.
    """

    kind: str
    subject: str
    number: int
    provider: str
    request: bytes
    planned_at: datetime
    idempotency_key: str = ""
    traceparent: str = field(default_factory=current_traceparent)

    @property
    def id(self) -> str:
        """The operation's id."""
        return operation_id(self.kind, self.subject, self.number)


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the journal. `answer` is what the provider said, also where it declined.

    `in_doubt`: it was sent, and nobody knows whether it arrived. `tries` counts how often it was sent.
    """

    id: str
    kind: str
    subject: str
    number: int
    provider: str
    request: bytes
    idempotency_key: str
    state: OperationState
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    in_doubt: bool
    lease_until: datetime | None
    fence: int
    tries: int
    next_try_at: datetime
    key_spent: bool
    answer: dict[str, Any] | None
    error_code: str
    error: str
    traceparent: str
    planned_at: datetime
    settled_at: datetime | None

    @property
    def parameters(self) -> dict[str, Any]:
        """The request as `encode_parameters` was given it."""
        parameters: dict[str, Any] = json.loads(self.request)
        return parameters

    @property
    def absent(self) -> bool:
        """Failed because look-ups proved that it was never executed: the next number may be planned."""
        return self.state is OperationState.FAILED and self.error_code == ABSENT


@dataclass(frozen=True, slots=True)
class Result:
    """How an operation ended."""

    state: OperationState
    answer: Mapping[str, Any] | None = None
    error_code: str = ""
    error: str = ""

    @classmethod
    def succeeded(cls, answer: Mapping[str, Any]) -> "Result":
        """The provider did it."""
        return cls(OperationState.SUCCEEDED, answer)

    @classmethod
    def declined(cls, refusal: Declined) -> "Result":
        """The provider refused for good."""
        return cls(OperationState.FAILED, refusal.answer, refusal.code or "DECLINED", str(refusal))

    @classmethod
    def absent(cls, error: str) -> "Result":
        """It was never executed, for sure, and is not sent again."""
        return cls(OperationState.FAILED, None, ABSENT, error)


class ProviderCall(Protocol):
    """What one kind of operation does at its provider; errors are Declined, Retryable, Unknown and nothing else."""

    async def send(self, operation: Operation) -> dict[str, Any]:
        """Send the stored bytes under the stored key; the answer, which is kept as JSON. No transaction is open."""

    async def look_up(self, operation: Operation) -> dict[str, Any] | None:
        """Search by our id: the answer that `send` would have given, or None if its absence is proved.

        Raises Unknown or Retryable where the provider cannot say yet, and Declined where it shows a refusal.
        """

    async def settle(self, tx: Transaction, operations: Sequence[Operation]) -> None:
        """The service's effect, in the transaction that stores the outcomes; also what has to be planned next.

        Of each subject there is one operation at most.
        """


def _milliseconds(subject: str) -> int:
    try:
        parsed = uuid.UUID(subject)
    except ValueError:
        return 0
    return parsed.int >> 80 if parsed.version == 7 else 0
