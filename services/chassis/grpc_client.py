"""Channels to the other services.

Why: one channel per target carries the caller's token, the trace context and keep-alives; nothing is retried unless
the caller says so, because UNAVAILABLE does not mean that nothing was done (F-40, F-45).
"""

import json
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from services.chassis.telemetry import current_traceparent

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config_disable_resolution", 1),
)


def channel(target: str, token: str, *, retry_unavailable: bool = False) -> grpc.aio.Channel:
    """A channel to `host:port`; every call needs a `timeout` in seconds.

    `retry_unavailable` repeats calls that ended UNAVAILABLE, up to four times: only for reads and calls with a
    request id.
    """
    interceptors: list[grpc.aio.ClientInterceptor] = [_Unary(token), _Stream(token)]
    options = [*_OPTIONS, ("grpc.enable_retries", int(retry_unavailable))]
    if retry_unavailable:
        options.append(("grpc.service_config", _RETRY_UNAVAILABLE))
    return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)


class _Identified:
    def __init__(self, token: str) -> None:
        self._authorization = ("authorization", f"Bearer {token}")

    def _with_metadata(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        added = [self._authorization]
        if traceparent := current_traceparent():
            added.append(("traceparent", traceparent))
        return grpc.aio.ClientCallDetails(
            details.method,
            details.timeout,
            grpc.aio.Metadata(*(details.metadata or ()), *added),
            details.credentials,
            details.wait_for_ready,
        )


class _Unary(_Identified, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._with_metadata(client_call_details), request)


class _Stream(_Identified, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._with_metadata(client_call_details), request)


_RETRY_UNAVAILABLE = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)
