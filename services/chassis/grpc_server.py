"""The gRPC door of a service: who calls, until when, is the request valid, and how errors look outside.

Why: what every call needs is done once, in one wrapper around each method; it costs less than a chain of interceptors.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from time import perf_counter
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar

import grpc
import grpc.aio
import protovalidate
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.chassis.config import ServiceSettings
from services.chassis.db import is_broken_plumbing
from services.chassis.errors import (
    STATUS_DETAILS_KEY,
    Code,
    DeadlineExpired,
    DeadlineRequired,
    DependencyUnavailable,
    DomainError,
    Internal,
    InvalidField,
    Unauthenticated,
    to_rpc_status,
)
from services.chassis.grpc_client import MAX_MESSAGE_BYTES
from services.chassis.ids import new_id
from services.chassis.telemetry import current_traceparent, get_logger, histogram, set_traceparent, trace_id

P = ParamSpec("P")
T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
Identify = Callable[[Mapping[str, str | bytes]], str]

log = get_logger(__name__)
_seconds = histogram("call_seconds", "time of a call until its last message", ["method", "code"])

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # two servers would share one port silently (F-44)
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # our channels ping every 30 s
)


class PortTaken(Exception):
    """The server's port belongs to another process."""


def caller_of(context: Context) -> str:
    """The name of who calls, for example `gateway`."""
    del context
    return _call.get().caller


def deadline_of(context: Context) -> float:
    """When the caller stops waiting, as a time of the event loop."""
    del context
    return _call.get().deadline


def shielded(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For a handler that must finish what it began although its caller went away (F-41); the server's drain waits."""

    @wraps(method)
    async def survivor(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(method(*args, **kwargs))
        _survivors.add(task)
        task.add_done_callback(_survivor_done)
        return await asyncio.shield(task)

    return survivor


def callers_by_token(tokens: Mapping[str, str]) -> Identify:
    """Who calls, by `authorization: Bearer <token>`. The seam for mTLS: a function of this shape takes its place."""
    # Looked up by digest, so that the time of a comparison tells nothing about a token.
    callers = {_digest(token): caller for caller, token in tokens.items() if token}

    def identify(metadata: Mapping[str, str | bytes]) -> str:
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        caller = callers.get(_digest(token)) if scheme.lower() == "bearer" else None
        if caller is None:
            raise Unauthenticated
        return caller

    return identify


class Server:
    """A gRPC server with health and reflection; a component of `process.run`."""

    name = "grpc"

    def __init__(self, settings: ServiceSettings, *, identify: Identify | None = None) -> None:
        self.port = settings.port
        self._settings = settings
        self._door = _Door(identify or callers_by_token(settings.caller_tokens))
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        self._services: list[str] = []
        self._is_serving = False
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        """Serve `servicer`, by the generated `add_XServicer_to_server`; all of its methods are coroutines."""
        add_to_server(servicer, self)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Called by generated code, which tells the same methods again below."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """Called by generated code: each method gets the door in front of it."""
        guarded = {name: self._door.guard(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
        self._server.add_registered_method_handlers(service, guarded)
        self._services.append(service)

    async def start(self) -> None:
        """Listen, then say SERVING; `port` is known afterwards. Raises PortTaken."""
        names = [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            variable = f"ONEFOLD_{self._settings.service.upper()}_PORT"
            raise PortTaken(f"{address} cannot be listened on, it is probably taken: set {variable}") from error
        await self._server.start()
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._is_serving = True
        log.info("grpc_serving", port=self.port)

    async def stop(self) -> None:
        """Say NOT_SERVING, wait until balancers noticed, refuse new calls, let running ones end within the grace."""
        self._is_serving = False
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_delay_ms / 1000)
        self._door.end_streams()
        grace_s = self._settings.grace_ms / 1000
        await self._server.stop(grace_s)
        if _survivors:
            await asyncio.wait(_survivors, timeout=grace_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain."""
        await self.start()
        await stop.wait()
        await self.stop()

    def ready(self) -> bool:
        """Whether it takes calls."""
        return self._is_serving


class _Door:
    """Wraps methods: deadline, caller, validation, errors, one log line and one observation per call."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._validate = protovalidate.Validator().collect_violations
        self._observers: dict[tuple[str, Code], Any] = {}
        self._streams: set[asyncio.Task[Any]] = set()

    def guard(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        codecs = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), *codecs)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), *codecs)
        raise TypeError(f"{method}: streams of requests have no door yet")

    def end_streams(self) -> None:
        """Streams would outlast any grace: their callers are told to come again."""
        for task in self._streams:
            task.cancel()

    def _unary(self, method: str, behaviour: Callable[..., Awaitable[Message]]) -> Callable[..., Awaitable[Message]]:
        async def answer(request: Message, context: Context) -> Message:
            started = perf_counter()
            try:
                self._admit(request, context)
                response = await behaviour(request, context)
            except (Exception, asyncio.CancelledError) as error:
                await self._refuse(error, method, request, context, started)
            self._record(method, Code.OK, "", request, started)
            return response

        return answer

    def _stream(
        self, method: str, behaviour: Callable[..., AsyncIterator[Message]]
    ) -> Callable[..., AsyncIterator[Message]]:
        async def answer(request: Message, context: Context) -> AsyncIterator[Message]:
            started = perf_counter()
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                self._admit(request, context)
                async for response in behaviour(request, context):
                    yield response
            except (Exception, asyncio.CancelledError) as error:
                await self._refuse(error, method, request, context, started)
            finally:
                self._streams.discard(task)
            self._record(method, Code.OK, "", request, started)

        return answer

    def _admit(self, request: Message, context: Context) -> None:
        metadata = dict(context.invocation_metadata() or ())
        set_traceparent(str(metadata.get("traceparent", "")))
        caller = self._identify(metadata)
        remaining = context.time_remaining()
        if remaining is None:
            raise DeadlineRequired
        _call.set(_Call(caller, asyncio.get_running_loop().time() + remaining))
        if violations := self._validate(request):
            raise InvalidField(*_first_and_more([_described(violation.proto) for violation in violations]))

    async def _refuse(
        self, error: BaseException, method: str, request: Message, context: Context, started: float
    ) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):  # the handler chose its own status
            self._record(method, Code(context.code() or Code.UNKNOWN), "ABORTED_BY_HANDLER", request, started)
            raise error
        shown = _shown(error, context, method)
        self._record(method, shown.code, shown.reason, request, started)
        status = to_rpc_status(shown)
        await context.abort(
            _GRPC_CODES[shown.code], shown.message, ((STATUS_DETAILS_KEY, status.SerializeToString()),)
        )

    def _record(self, method: str, code: Code, reason: str, request: Message, started: float) -> None:
        seconds = perf_counter() - started
        observe = self._observers.get((method, code))
        if observe is None:
            observe = self._observers[method, code] = _seconds.labels(method, code.name).observe
        observe(seconds)
        log.info(
            "call",
            method=method,
            code=code.name,
            reason=reason,
            caller=_call.get().caller,
            request_id=getattr(request, "request_id", ""),
            trace_id=trace_id(current_traceparent()),
            duration_ms=round(seconds * 1000, 2),
        )


def _shown(error: BaseException, context: Context, method: str) -> DomainError:
    """What the caller may see of it."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, asyncio.CancelledError):
        # Left as it is, it could keep a client waiting for ever (F-42). By whom it was cancelled decides what to say.
        if context.time_remaining() == 0:
            return DeadlineExpired()
        return _Cancelled() if context.cancelled() else DependencyUnavailable("the call was interrupted; repeat it")
    if is_broken_plumbing(error):
        log.warning("call_lost_plumbing", method=method, error=type(error).__name__)
        return DependencyUnavailable()
    error_id = new_id()
    log.exception("call_failed", method=method, error_id=error_id)
    return Internal(error_id)


def _described(violation: Any) -> tuple[str, str]:
    return _path(violation.field), violation.message or violation.rule_id


def _path(field: Any) -> str:
    """`lines[2].quantity`, `metadata["colour"]`."""
    path = ""
    for element in field.elements if field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        if (subscript := element.subscript) is not None:
            path += f'["{subscript.value}"]' if isinstance(subscript.value, str) else f"[{subscript.value}]"
    return path


def _first_and_more(violations: list[tuple[str, str]]) -> tuple[Any, ...]:
    (path, description), *more = violations
    return path, description, *more


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _survivor_done(task: "asyncio.Task[Any]") -> None:
    _survivors.discard(task)
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, DomainError):
        log.warning("shielded_call_failed", error=type(error).__name__)


class _Cancelled(DomainError):
    """The caller cancelled."""

    code, reason = Code.CANCELLED, "CANCELLED"


@dataclass(frozen=True, slots=True)
class _Call:
    caller: str
    deadline: float


_call: ContextVar[_Call] = ContextVar("call", default=_Call("", 0.0))
_survivors: set["asyncio.Task[Any]"] = set()
_GRPC_CODES: dict[Code, grpc.StatusCode] = {Code(status.value[0]): status for status in grpc.StatusCode}
