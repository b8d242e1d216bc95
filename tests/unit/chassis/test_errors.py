from datetime import timedelta

import pytest
from google.rpc import error_details_pb2
from onefold.common.v1 import common_pb2

from services.chassis import errors
from services.chassis.errors import Code, DomainError, from_refusal, from_rpc_status, to_refusal, to_rpc_status


class OutOfStock(errors.Refused):
    """Only {available} of {requested} units are left.

    This paragraph is for readers of the code.
    """

    reason = "OUT_OF_STOCK"


PROBLEMS = common_pb2.CartProblems(problems=[common_pb2.CartProblem(sku="MUG", available=1, requested=2)])


def test_the_docstring_is_the_message() -> None:
    error = OutOfStock(available=1, requested=2)
    assert error.message == str(error) == "Only 1 of 2 units are left."
    assert error.metadata == {"available": "1", "requested": "2"}
    assert OutOfStock("gone").message == "gone"


def test_a_status_names_reason_domain_and_facts() -> None:
    status = to_rpc_status(OutOfStock(metadata={"sku": "MUG"}, available=1, requested=2))
    info = error_details_pb2.ErrorInfo()
    assert status.code == Code.FAILED_PRECONDITION
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("OUT_OF_STOCK", "onefold")
    assert info.metadata == {"sku": "MUG", "available": "1", "requested": "2"}


def test_every_field_is_in_one_bad_request() -> None:
    status = to_rpc_status(errors.InvalidField("lines[0].sku", "is empty", ("currency", "is not known")))
    bad_request = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad_request)
    assert [(v.field, v.description) for v in bad_request.field_violations] == [
        ("lines[0].sku", "is empty"),
        ("currency", "is not known"),
    ]
    assert status.message == "lines[0].sku: is empty; currency: is not known"


@pytest.mark.requirement("S-5")
def test_a_request_in_progress_says_when_to_come_again() -> None:
    status = to_rpc_status(errors.RequestInProgress(timedelta(seconds=2.5)))
    retry = error_details_pb2.RetryInfo()
    assert status.code == Code.ABORTED
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToTimedelta() == timedelta(seconds=2.5)


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound(order_id="1"),
        errors.InvalidField("a.b", "is wrong", ("c", "is worse")),
        errors.RequestInProgress(timedelta(seconds=2)),
        errors.Overloaded(),
        errors.Unauthenticated(),
        OutOfStock(details=[PROBLEMS], available=1, requested=2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_status_is_read_back_as_the_same_error(error: DomainError) -> None:
    read = from_rpc_status(to_rpc_status(error))
    assert to_rpc_status(read) == to_rpc_status(error)
    assert isinstance(error, type(read))


def test_a_refusal_is_read_back_as_the_same_error() -> None:
    error = OutOfStock(details=[PROBLEMS], available=1, requested=2)
    refusal = to_refusal(error)
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "OUT_OF_STOCK")
    assert list(refusal.problems) == list(PROBLEMS.problems)
    read = from_refusal(refusal)
    assert isinstance(read, errors.Refused)
    assert to_rpc_status(read) == to_rpc_status(error)


def test_a_kind_without_a_class_keeps_its_code_and_reason() -> None:
    read = from_refusal(common_pb2.Refusal(code="DATA_LOSS", reason="ODD", message="lost"))
    assert (read.code, read.reason, read.message) == (Code.DATA_LOSS, "ODD", "lost")
