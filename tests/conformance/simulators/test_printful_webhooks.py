"""Printful's webhooks in both versions, their signature and retries, and the automatic mode of the demo (F-19)."""

import asyncio
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from simulators.app import RunningSimulators, listening, serve
from simulators.settings import SimulatorSettings
from tests.conformance.simulators.receiver import Receiver
from tests.conformance.simulators.test_printful_orders import NAME, body, draft

SECRET = "6f6e65666f6c64"


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(raw) for _, raw in receiver.received]


async def ship_and_deliver(printful: httpx.AsyncClient, sim: RunningSimulators) -> None:
    await draft(printful)
    await printful.post(f"/orders/@{NAME}/confirm")
    await sim.client.printful.start(NAME)
    await sim.client.printful.ship(NAME)
    await sim.client.printful.deliver(NAME)


async def test_v2_is_signed_with_the_decoded_secret(
    printful: httpx.AsyncClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    await ship_and_deliver(printful, sim)
    await sim.client.webhooks.deliver()
    assert [event["type"] for event in bodies(receiver)] == [
        "order_created",
        "order_updated",
        "order_updated",
        "shipment_sent",
        "shipment_delivered",
    ]
    for headers, raw in receiver.received:
        expected = hmac.new(bytes.fromhex(SECRET), raw, hashlib.sha256).hexdigest()
        assert headers["x-pf-webhook-signature"] == expected
    sent = bodies(receiver)[3]
    assert (sent["retries"], sent["store_id"], sent["data"]["order"]["external_id"]) == (0, 1, NAME)
    assert sent["data"]["order"]["status"] == "fulfilled"
    assert "id" not in sent


async def test_v1_is_unsigned_and_silent_about_delivery(
    printful: httpx.AsyncClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    await sim.client.webhooks.configure(printful_version="v1")
    await ship_and_deliver(printful, sim)
    await sim.client.webhooks.deliver()
    assert [event["type"] for event in bodies(receiver)][3:] == ["package_shipped"]
    shipped = bodies(receiver)[3]
    assert shipped["data"]["shipment"]["tracking_number"]
    assert shipped["data"]["order"]["external_id"] == NAME
    assert "x-pf-webhook-signature" not in receiver.received[3][0]


async def test_retries_change_the_body_and_its_signature(
    printful: httpx.AsyncClient, sim: RunningSimulators, receiver: Receiver
) -> None:
    receiver.answers = [503, 503]
    await draft(printful)
    for _ in range(3):
        await sim.client.webhooks.deliver(late=True)
    sent = bodies(receiver)
    assert [event.pop("retries") for event in sent] == [0, 1, 2]
    assert sent[0] == sent[1] == sent[2]
    assert len({headers["x-pf-webhook-signature"] for headers, _ in receiver.received}) == 3


@pytest.mark.parametrize(
    ("action", "types"),
    [
        ("hold", ["order_put_hold"]),
        ("fail", ["order_failed"]),
        ("cancel", ["order_canceled"]),
    ],
)
async def test_troubles_are_told_with_a_reason(
    printful: httpx.AsyncClient, sim: RunningSimulators, receiver: Receiver, action: str, types: list[str]
) -> None:
    await draft(printful)
    await printful.post(f"/orders/@{NAME}/confirm")
    await getattr(sim.client.printful, action)(NAME, "because")
    await sim.client.webhooks.deliver()
    told = bodies(receiver)[2:]
    assert [event["type"] for event in told] == types
    assert told[0]["data"]["reason"] == "because"


@pytest.mark.parametrize(("kind", "copies"), [("duplicate", 2), ("lost", 0)])
async def test_a_webhook_is_doubled_or_lost(
    printful: httpx.AsyncClient, sim: RunningSimulators, receiver: Receiver, kind: Any, copies: int
) -> None:
    await sim.client.faults.webhook(vendor="printful", type="shipment_sent", kind=kind, order_id=NAME)
    await ship_and_deliver(printful, sim)
    await sim.client.webhooks.deliver()
    assert [event["type"] for event in bodies(receiver)].count("shipment_sent") == copies
    assert (await sim.client.printful.ledger(NAME)).parcels_sent == 1


async def test_the_automatic_mode_ships_and_delivers_in_the_background() -> None:
    arrived = asyncio.Event()
    receiver = Receiver(answers=[503])

    async def take(request: Any) -> Any:
        answer = await receiver.take(request)
        delivered = [event for event in bodies(receiver) if event["type"] == "shipment_delivered"]
        if sum(1 for _ in delivered) >= 2 and any(event["retries"] for event in bodies(receiver)):
            arrived.set()
        return answer

    settings = SimulatorSettings(
        auto=True, auto_ship_seconds=0.01, auto_deliver_seconds=0.01, retry_scale=0.001, deliver=True
    )
    async with (
        listening(Starlette(routes=[Route("/hook", take, methods=["POST"])])) as url,
        serve(settings) as sim,
        httpx.AsyncClient(headers={"Authorization": "Bearer pf_test_onefold"}, trust_env=False) as http,
    ):
        await sim.client.webhooks.configure(printful_url=url + "/hook", printful_secret=SECRET)
        for name in ("a", "b"):
            answer = await http.post(sim.printful_url + "/orders?confirm=true", json=body(external_id=name))
            assert answer.status_code == 200
        async with asyncio.timeout(10):
            await arrived.wait()
        ledgers = await sim.client.printful.ledgers()
        assert {ledger.times_charged for ledger in ledgers.values()} == {1}
        assert all(
            ledger.units_sent == {4711: 2, 4712: 1} for ledger in ledgers.values() if ledger.status == "fulfilled"
        )
