"""Calls to providers as journaled operations: planned, sent, settled, looked up.

Why: a provider's call cannot be rolled back, so what is about to be asked is written down first (S-15, R-1.4).
"""

from services.chassis.operations.errors import Declined, Retryable, Unknown
from services.chassis.operations.journal import (
    get_operation,
    list_operations,
    plan,
)
from services.chassis.operations.model import (
    ABSENT,
    PLANNED,
    WITHDRAWN,
    Operation,
    OperationState,
    PlannedOperation,
    ProviderCall,
    encode_parameters,
    operation_id,
)
from services.chassis.operations.runner import OperationRunner
from services.chassis.operations.settling import DELAYED, RESEND_FOR, UNRESOLVED, UNSETTLED, BackOff, withdraw

__all__ = [
    "ABSENT",
    "DELAYED",
    "PLANNED",
    "RESEND_FOR",
    "UNRESOLVED",
    "UNSETTLED",
    "WITHDRAWN",
    "BackOff",
    "Declined",
    "Operation",
    "OperationRunner",
    "OperationState",
    "PlannedOperation",
    "ProviderCall",
    "Retryable",
    "Unknown",
    "encode_parameters",
    "get_operation",
    "list_operations",
    "operation_id",
    "plan",
    "withdraw",
]
