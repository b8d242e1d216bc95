from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.chassis.clock import ManualClock, SystemClock


def test_the_system_clock_is_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    start = datetime(2026, 3, 2, 9, 30, tzinfo=timezone(timedelta(hours=2)))
    clock = ManualClock(start)
    assert clock.now() == clock.now() == start
    assert clock.now().tzinfo is UTC
    clock.advance(timedelta(minutes=30))
    assert clock.now() == datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    clock.set(start)
    assert clock.now() == start


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ManualClock(datetime(2026, 3, 2))  # noqa: DTZ001
