"""Errors that a caller may see, and the only mapping from them to gRPC.

Why: a refusal looks the same whether it answers one call, one item of a batch, or a retry a day later,
and the text of an unexpected error never reaches a caller (F-43).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from inspect import cleandoc
from typing import Any, Protocol

from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from onefold.common.v1 import common_pb2

DOMAIN = "onefold"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
_STATUS_BYTES = 4_000  # in base64, and with the message beside it, well below 8 KiB
_MESSAGE_LENGTH = 500


class Code(IntEnum):
    """gRPC's status codes, by their numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class DomainError(Exception):
    """The call failed.

    The first paragraph of a subclass' docstring is its message; `{names}` in it are filled from the metadata:
    `class OutOfStock(Refused): "Only {available} of {requested} are left."`, `OutOfStock(available=1, requested=2)`.
    It may be raised, or be handed back as the value of one command of a batch. All of it is shown to the caller.
    """

    code: Code = Code.INTERNAL
    reason: str = "INTERNAL"
    retry_delay: timedelta | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        metadata: Mapping[str, object] | None = None,
        details: Sequence[Message] = (),
        **facts: object,
    ) -> None:
        self.metadata: Mapping[str, str] = {k: str(v) for k, v in {**(metadata or {}), **facts}.items()}
        self.message = message if message is not None else _message_of(type(self), self.metadata)
        self.details = tuple(details)
        super().__init__(self.message)


class NotFound(DomainError):
    """There is no such thing."""

    code, reason = Code.NOT_FOUND, "NOT_FOUND"


class InvalidField(DomainError):
    """A field is not valid; `violations` holds (path, what is wrong) for every field."""

    code, reason = Code.INVALID_ARGUMENT, "INVALID_FIELD"

    def __init__(self, field: str, description: str, *more: tuple[str, str]) -> None:
        self.violations: tuple[tuple[str, str], ...] = ((field, description), *more)
        text = "; ".join(f"{path}: {wrong}" if path else wrong for path, wrong in self.violations)
        super().__init__(text, metadata={"field": field} if field else None)


class DeadlineRequired(DomainError):
    """A call needs a deadline."""

    code, reason = Code.INVALID_ARGUMENT, "DEADLINE_REQUIRED"


class Refused(DomainError):
    """The present state does not allow this."""

    code, reason = Code.FAILED_PRECONDITION, "REFUSED"


class IllegalTransition(Refused):
    """The present state does not allow this step."""

    reason = "ILLEGAL_TRANSITION"


class RequestIdReused(DomainError):
    """This request id was used before with another body."""

    code, reason = Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"


class RequestInProgress(DomainError):
    """This request is still being worked on; repeat it after the given delay."""

    code, reason = Code.ABORTED, "REQUEST_IN_PROGRESS"

    def __init__(self, retry_delay: timedelta) -> None:
        super().__init__()
        self.retry_delay = retry_delay


class LostRace(DomainError):
    """Another change came first; read again and decide anew."""

    code, reason = Code.ABORTED, "LOST_RACE"


class Overloaded(DomainError):
    """Too many calls are waiting; repeat the call later."""

    code, reason = Code.RESOURCE_EXHAUSTED, "OVERLOADED"
    retry_delay = timedelta(seconds=1)


class DeadlineExpired(DomainError):
    """The deadline passed; whether the call took effect is not known."""

    code, reason = Code.DEADLINE_EXCEEDED, "DEADLINE_EXPIRED"


class DependencyUnavailable(DomainError):
    """Something that this call needs is away; the same request may be repeated."""

    code, reason = Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"


class Unauthenticated(DomainError):
    """The call carries no valid token."""

    code, reason = Code.UNAUTHENTICATED, "UNAUTHENTICATED"


class PermissionDenied(DomainError):
    """The caller may not do this."""

    code, reason = Code.PERMISSION_DENIED, "PERMISSION_DENIED"


class Internal(DomainError):
    """The call failed for an internal reason; `error_id` finds it in the log."""

    def __init__(self, error_id: str) -> None:
        super().__init__(f"internal error {error_id}", error_id=error_id)


class RemoteError(DomainError):
    """An error told by another service, or stored by an earlier try: its code and reason are its own."""


def to_refusal(error: DomainError) -> common_pb2.Refusal:
    """The error as the answer of one item of a batch."""
    problems: list[common_pb2.CartProblem] = []
    for detail in error.details:
        if isinstance(detail, common_pb2.CartProblems):
            problems.extend(detail.problems)
    return common_pb2.Refusal(
        code=error.code.name,
        reason=error.reason,
        message=error.message,
        problems=problems,
        metadata=dict(error.metadata),
    )


def to_rpc_status(error: DomainError) -> status_pb2.Status:
    """The error as the status of a call: ErrorInfo, BadRequest for fields, RetryInfo, and its own details.

    It travels in HTTP/2 trailers, where gRPC takes 8 KiB: above that a caller would hear RESOURCE_EXHAUSTED instead.
    So long lists are cut; BadRequest says how many more there are.
    """
    status = status_pb2.Status(code=int(error.code), message=_shortened(error.message))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata))
    status.details.add().Pack(info, deterministic=True)
    if isinstance(error, InvalidField):
        bad_request = error_details_pb2.BadRequest()
        for count, (path, description) in enumerate(error.violations):
            bad_request.field_violations.add(field=path, description=description)
            if bad_request.ByteSize() > _STATUS_BYTES:
                del bad_request.field_violations[-1]
                bad_request.field_violations.add(description=f"and {len(error.violations) - count} more")
                break
        status.details.add().Pack(bad_request)
    if error.retry_delay is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(error.retry_delay)
        status.details.add().Pack(retry)
    for detail in error.details:
        kept = type(detail).FromString(detail.SerializeToString())
        if isinstance(kept, common_pb2.CartProblems):
            while kept.ByteSize() > _STATUS_BYTES:
                del kept.problems[-1]
        status.details.add().Pack(kept)
    return status


def from_rpc_status(status: status_pb2.Status) -> DomainError:
    """The error that a status carries, for a stored answer or another service's; kinds with a class come back as it."""
    info, violations, delay = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), None
    details: list[Message] = []
    for packed in status.details:
        if packed.Is(info.DESCRIPTOR):
            packed.Unpack(info)
        elif packed.Is(violations.DESCRIPTOR):
            packed.Unpack(violations)
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            packed.Unpack(retry)
            delay = retry.retry_delay.ToTimedelta()
        elif packed.Is(common_pb2.CartProblems.DESCRIPTOR):
            problems = common_pb2.CartProblems()
            packed.Unpack(problems)
            details.append(problems)
    code = Code(status.code)
    reason = info.reason or code.name
    error = _restored(code, reason, status.message, info.metadata, details)
    if violations.field_violations and isinstance(error, InvalidField):
        error.violations = tuple((v.field, v.description) for v in violations.field_violations)
    error.retry_delay = delay
    return error


def from_refusal(refusal: common_pb2.Refusal) -> DomainError:
    """The error of one item of another service's batch."""
    details = [common_pb2.CartProblems(problems=refusal.problems)] if refusal.problems else []
    return _restored(Code[refusal.code], refusal.reason, refusal.message, refusal.metadata, details)


class RpcFailure(Protocol):
    """What `grpc.aio.AioRpcError` has; named here so that a role without gRPC need not load it (F-62)."""

    def code(self) -> Any: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def from_rpc_error(error: RpcFailure) -> DomainError:
    """The error that a failed call to another service stands for.

    UNAVAILABLE and DEADLINE_EXCEEDED do not mean that nothing was done (F-40): repeat with the same request id.
    """
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            return from_rpc_status(status_pb2.Status.FromString(value))
    number: int = error.code().value[0]
    return from_rpc_status(status_pb2.Status(code=number, message=error.details() or ""))


def _restored(
    code: Code, reason: str, message: str, metadata: Mapping[str, str], details: Sequence[Message]
) -> DomainError:
    kind = _KINDS.get(reason) or _KIND_OF_CODE.get(code, RemoteError)
    error = kind.__new__(kind)
    DomainError.__init__(error, message, metadata=metadata, details=details)
    if isinstance(error, InvalidField):
        error.violations = ((metadata.get("field", ""), message),)
    error.code, error.reason = code, reason
    return error


def _shortened(text: str) -> str:
    return text if len(text) <= _MESSAGE_LENGTH else f"{text[:_MESSAGE_LENGTH]}..."


def _message_of(kind: type[DomainError], metadata: Mapping[str, str]) -> str:
    text = cleandoc(kind.__doc__ or kind.__name__).split("\n\n")[0].replace("\n", " ")
    return text.format_map(metadata) if "{" in text else text


_BY_CODE = (NotFound, Refused, Overloaded, DeadlineExpired, DependencyUnavailable, Unauthenticated, PermissionDenied)
_BY_REASON = (InvalidField, DeadlineRequired, IllegalTransition, RequestIdReused, RequestInProgress, LostRace)
_KIND_OF_CODE: dict[Code, type[DomainError]] = {kind.code: kind for kind in _BY_CODE}
_KINDS: dict[str, type[DomainError]] = {kind.reason: kind for kind in (*_BY_CODE, *_BY_REASON)}
