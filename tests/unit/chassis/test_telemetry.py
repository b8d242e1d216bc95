import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from services.chassis.telemetry import (
    configure_logging,
    current_traceparent,
    get_logger,
    new_traceparent,
    set_traceparent,
    trace_id,
    traced,
)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().out
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_an_event_s_name_and_ids(output: Callable[[], str]) -> None:
    configure_logging("shop", "info")
    log = get_logger("rooms")
    log.debug("not_shown")
    log.info("order_placed", order_id="1")
    (line,) = lines(output())
    assert (line["event"], line["order_id"], line["service"], line["level"]) == ("order_placed", "1", "shop", "info")


def test_an_exception_is_one_line_without_local_values(output: Callable[[], str]) -> None:
    configure_logging("shop")
    secret = "geheim"
    try:
        raise ValueError("bad")
    except ValueError:
        get_logger("rooms").exception("it_failed")
    text = output()
    (line,) = lines(text)
    assert line["event"] == "it_failed"
    assert secret not in text
    assert "ValueError" in text


def test_libraries_speak_the_same_json(output: Callable[[], str]) -> None:
    configure_logging("shop")
    logging.getLogger("aiokafka").info("chatter")
    logging.getLogger("aiokafka").warning("broker %s is away", 3)
    (line,) = lines(output())
    assert (line["event"], line["service"], line["level"]) == ("broker 3 is away", "shop", "warning")


def test_a_trace_is_taken_over_or_begun() -> None:
    given = new_traceparent()
    with traced(""):
        set_traceparent(given)
        assert current_traceparent() == given
        assert len(trace_id(given)) == 32
        set_traceparent("00-forged\nheader")
        assert current_traceparent() not in (given, "")
    assert current_traceparent() == ""
