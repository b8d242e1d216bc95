"""The gRPC door of a service: who calls, until when, is the request valid, and how errors look outside.

Why: what every call needs is done once, so that a servicer holds nothing but its own translation.
"""

from services.chassis.grpc_server.calls import Context, Identify, caller_of, callers_by_token, deadline_of, shielded
from services.chassis.grpc_server.once import answer_once
from services.chassis.grpc_server.server import Server

__all__ = ["Context", "Identify", "Server", "answer_once", "caller_of", "callers_by_token", "deadline_of", "shielded"]
