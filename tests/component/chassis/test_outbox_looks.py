"""What a look of the relay costs PostgreSQL."""

import pytest

from services.chassis.config import ServiceSettings
from services.chassis.db import Database
from services.chassis.outbox import Relay
from services.chassis.outbox import relay as looks
from tests.component.chassis.messaging import TOPIC, sent
from tests.component.chassis.relaying import append_now

PLANS = """
SELECT custom_plans, generic_plans, current_setting('enable_seqscan') AS scans
  FROM pg_prepared_statements WHERE statement LIKE '%WITH deleted%' AND statement NOT LIKE '%pg_prepared%'
"""


@pytest.mark.requirement("F-57")
async def test_a_look_is_planned_once_and_goes_by_position(db: Database, on_kafka: ServiceSettings) -> None:
    relay = Relay(on_kafka, TOPIC)
    try:
        for number in range(3):
            await append_now(db, sent(f"order-{number}"))
            assert await relay.run_once() == 1
        assert relay._session is not None
        (look,) = await relay._session.fetch(PLANS)
        assert look["custom_plans"] == 0 and look["generic_plans"] >= 6
        assert look["scans"] == "off"
    finally:
        await relay.close()


@pytest.mark.requirement("S-24")
async def test_a_run_that_ends_with_rows_left_is_followed_by_another_at_once(
    db: Database, on_kafka: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last looks read nothing because they ask for nothing: that is no reason to look more seldom."""
    relay = Relay(on_kafka, TOPIC)
    try:
        await append_now(db, sent("order-1"))
        with monkeypatch.context() as patched:
            patched.setattr(looks, "_LONGEST_S", 0.0)
            assert [await relay.run_once() for _ in range(10)] == [0] * 10
        assert relay._woken.is_set()
        assert relay._pause == looks._SOON_S
        assert await relay.run_once() == 1
        assert not relay._woken.is_set()
    finally:
        await relay.close()
