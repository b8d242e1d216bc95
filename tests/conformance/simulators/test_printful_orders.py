"""Printful's orders over plain HTTP: drafts, external ids, confirmation, cancelling, parcels, faults (F-17 to F-19)."""

from typing import Any

import httpx
import pytest

from simulators.app import RunningSimulators, serve
from simulators.client import SimulatorError
from simulators.settings import SimulatorSettings

NAME = "0192f3a4b5c67d8e9f00112233445566"


def body(**changes: Any) -> dict[str, Any]:
    recipient = {
        "name": "Ada Lovelace",
        "address1": "12 St James's Square",
        "city": "London",
        "country_code": "GB",
        "zip": "SW1Y 4JH",
        "email": "ada@example.com",
    }
    items = [
        {"sync_variant_id": 4711, "quantity": 2, "retail_price": "12.00", "name": "Mug"},
        {"sync_variant_id": 4712, "quantity": 1, "retail_price": "8.50", "name": "Card"},
    ]
    costs = {"currency": "GBP", "shipping": "3.99"}
    return {"external_id": NAME, "recipient": recipient, "items": items, "retail_costs": costs, **changes}


async def draft(printful: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await printful.post("/orders", json=body(**changes))
    assert answer.status_code == 200, answer.text
    row: dict[str, Any] = answer.json()["result"]
    return row


async def test_a_draft_is_not_charged_until_it_is_confirmed(
    printful: httpx.AsyncClient, sim: RunningSimulators
) -> None:
    row = await draft(printful)
    assert (row["status"], row["external_id"]) == ("draft", NAME)
    assert (row["retail_costs"]["subtotal"], row["retail_costs"]["total"]) == ("32.50", "36.49")
    assert [line["sync_variant_id"] for line in row["items"]] == [4711, 4712]
    ledger = await sim.client.printful.ledger(NAME)
    assert (ledger.times_created, ledger.times_charged, ledger.status) == (1, 0, "draft")
    confirmed = (await printful.post(f"/orders/@{NAME}/confirm")).json()["result"]
    assert (confirmed["id"], confirmed["status"]) == (row["id"], "pending")
    assert (await sim.client.printful.ledger(NAME)).times_charged == 1
    again = await printful.post(f"/orders/{row['id']}/confirm")
    assert again.status_code == 400
    assert (await sim.client.printful.ledger(NAME)).times_charged == 1


async def test_an_external_id_is_used_once(printful: httpx.AsyncClient, sim: RunningSimulators) -> None:
    row = await draft(printful)
    second = await printful.post("/orders", json=body())
    assert second.status_code == 400
    assert "OR-13" in second.json()["error"]["message"]
    found = await printful.get(f"/orders/@{NAME}")
    assert found.json()["result"]["id"] == row["id"]
    missing = await printful.get("/orders/@unknown")
    assert (missing.status_code, missing.json()["error"]["reason"]) == (404, "NotFound")
    assert (await sim.client.printful.ledger(NAME)).times_created == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"external_id": "0192f3a4-b5c6-7d8e-9f00-112233445566"},
        {"external_id": "with space"},
        {"items": []},
        {"items": "none"},
        {"items": [{"sync_variant_id": "4711", "quantity": 1}]},
        {"items": [{"sync_variant_id": 4711, "quantity": 0}]},
        {"items": [{"sync_variant_id": 4711, "quantity": 1, "retail_price": "twelve"}]},
        {"recipient": {"name": "Ada"}},
        {"recipient": {"name": "A", "address1": "1 Rd", "city": "Reno", "country_code": "US", "zip": "89501"}},
    ],
)
async def test_bad_orders_are_refused(printful: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    answer = await printful.post("/orders", json=body(**changes))
    assert answer.status_code == 400
    assert answer.json() == {
        "code": 400,
        "result": answer.json()["error"]["message"],
        "error": {"reason": "BadRequest", "message": answer.json()["error"]["message"]},
    }
    assert (await printful.get("/orders")).json()["paging"]["total"] == 0


async def test_token_and_store_are_checked(sim: RunningSimulators) -> None:
    async with httpx.AsyncClient(base_url=sim.printful_url, trust_env=False) as http:
        assert (await http.get("/orders")).status_code == 401
        assert (await http.get("/orders", headers={"Authorization": "Bearer no"})).status_code == 401
        headers = {"Authorization": "Bearer pf_test_onefold", "X-PF-Store-Id": "2"}
        assert (await http.get("/orders", headers=headers)).status_code == 403


async def test_a_draft_is_edited_and_a_confirmed_order_is_not(printful: httpx.AsyncClient) -> None:
    row = await draft(printful)
    changed = await printful.put(f"/orders/{row['id']}", json={"items": [{"sync_variant_id": 1, "quantity": 3}]})
    assert [line["quantity"] for line in changed.json()["result"]["items"]] == [3]
    assert changed.json()["result"]["recipient"]["city"] == "London"
    await printful.post(f"/orders/{row['id']}/confirm")
    refused = await printful.put(f"/orders/{row['id']}", json={"items": [{"sync_variant_id": 1, "quantity": 1}]})
    assert "OR-1:" in refused.json()["error"]["message"]


async def test_what_is_in_production_cannot_be_cancelled(printful: httpx.AsyncClient, sim: RunningSimulators) -> None:
    await draft(printful)
    await printful.post(f"/orders/@{NAME}/confirm")
    await sim.client.printful.start(NAME)
    assert (await printful.delete(f"/orders/@{NAME}")).status_code == 400
    await draft(printful, external_id="other")
    await printful.post("/orders/@other/confirm")
    cancelled = await printful.delete("/orders/@other")
    assert cancelled.json()["result"]["status"] == "canceled"
    ledger = await sim.client.printful.ledger("other")
    assert (ledger.times_charged, ledger.times_charge_returned, ledger.charged) == (1, 1, {"GBP": "0.00"})
    assert (await printful.delete("/orders/@other")).status_code == 400
    listed = (await printful.get("/orders", params={"status": "canceled"})).json()["result"]
    assert [row["external_id"] for row in listed] == ["other"]


async def test_a_confirmed_order_can_fall_back_to_draft(printful: httpx.AsyncClient, sim: RunningSimulators) -> None:
    await sim.client.faults.api(vendor="printful", operation="orders.confirm", kind="fall_back", order_id=NAME)
    await draft(printful)
    assert (await printful.post(f"/orders/@{NAME}/confirm")).json()["result"]["status"] == "pending"
    await sim.client.advance(1)
    assert (await printful.get(f"/orders/@{NAME}")).json()["result"]["status"] == "draft"
    assert (await sim.client.printful.ledger(NAME)).times_charged == 0


async def test_several_parcels_leave_arrive_and_return(printful: httpx.AsyncClient, sim: RunningSimulators) -> None:
    row = await draft(printful)
    mug, card = (line["id"] for line in row["items"])
    with pytest.raises(SimulatorError):
        await sim.client.printful.ship(NAME)
    await printful.post(f"/orders/@{NAME}/confirm")
    first = await sim.client.printful.ship(NAME, {mug: 1})
    part = (await printful.get(f"/orders/@{NAME}")).json()["result"]
    assert part["status"] == "partial"
    assert part["shipments"][0]["tracking_number"] == first.tracking_number
    assert not any(key.startswith("_") for key in (*part, *part["shipments"][0]))
    with pytest.raises(SimulatorError):
        await sim.client.printful.ship(NAME, {mug: 2})
    second = await sim.client.printful.ship(NAME)
    assert second.units == {mug: 1, card: 1}
    await sim.client.printful.deliver(NAME, first.id)
    await sim.client.printful.return_parcel(NAME, second.id)
    shipments = (await printful.get(f"/v2/orders/@{NAME}/shipments")).json()["data"]
    assert [(row["shipment_status"], row["delivery_status"]) for row in shipments] == [
        ("shipped", "delivered"),
        ("returned", "return_to_sender"),
    ]
    ledger = await sim.client.printful.ledger(NAME)
    assert (ledger.parcels_sent, ledger.parcels_delivered, ledger.parcels_returned) == (2, 1, 1)
    assert (ledger.units_sent, ledger.status) == ({4711: 2, 4712: 1}, "fulfilled")
    assert set(await sim.client.printful.ledgers()) == {NAME}


async def test_a_parcel_is_shown_before_it_leaves_and_may_be_cancelled(
    printful: httpx.AsyncClient, sim: RunningSimulators
) -> None:
    await draft(printful)
    await printful.post(f"/orders/@{NAME}/confirm")
    first = await sim.client.printful.pack(NAME)
    (parcel,) = (await printful.get(f"/v2/orders/@{NAME}/shipments")).json()["data"]
    assert (parcel["shipment_status"], parcel["delivery_status"], parcel["shipped_at"]) == (
        "packaged",
        "pre_transit",
        None,
    )
    assert (await printful.get(f"/orders/@{NAME}")).json()["result"]["status"] == "pending"
    with pytest.raises(SimulatorError):  # every unit is packed
        await sim.client.printful.ship(NAME)
    await sim.client.printful.mark(NAME, "canceled", "canceled")
    second = await sim.client.printful.ship(NAME)
    assert second.units == first.units
    await sim.client.printful.mark(NAME, "shipped", "failure", second.id)
    ledger = await sim.client.printful.ledger(NAME)
    assert (ledger.parcels_sent, ledger.status) == (1, "fulfilled")
    assert [(each.id, each.delivery_status) for each in ledger.orders[0].parcels] == [(second.id, "failure")]


async def test_hold_and_failure_are_printful_s_own_doing(printful: httpx.AsyncClient, sim: RunningSimulators) -> None:
    await draft(printful)
    await printful.post(f"/orders/@{NAME}/confirm")
    assert (await sim.client.printful.hold(NAME)).status == "onhold"
    assert (await sim.client.printful.release(NAME)).status == "pending"
    assert (await sim.client.printful.fail(NAME, "Bad address")).status == "failed"
    assert (await sim.client.printful.ledger(NAME)).times_charge_returned == 1
    again = await printful.post(f"/orders/@{NAME}/confirm")
    assert again.json()["result"]["status"] == "pending"
    await sim.client.printful.start(NAME)
    assert (await sim.client.printful.cancel(NAME)).status == "canceled"


@pytest.mark.parametrize(("kind", "made"), [("timeout_before", 0), ("timeout_after", 1)])
async def test_a_time_out_hides_whether_it_happened(
    printful: httpx.AsyncClient, sim: RunningSimulators, kind: Any, made: int
) -> None:
    await sim.client.faults.api(vendor="printful", operation="orders.create", kind=kind, order_id=NAME)
    with pytest.raises(httpx.TransportError):
        await printful.post("/orders", json=body())
    assert (await sim.client.printful.ledger(NAME)).times_created == made
    assert (await printful.get(f"/orders/@{NAME}")).status_code == (200 if made else 404)


@pytest.mark.parametrize(
    ("kind", "status", "made"), [("rate_limit", 429, 0), ("error_before", 500, 0), ("error_after", 500, 1)]
)
async def test_an_error_answers_before_or_after_the_work(
    printful: httpx.AsyncClient, sim: RunningSimulators, kind: Any, status: int, made: int
) -> None:
    await sim.client.faults.api(vendor="printful", operation="orders.create", kind=kind)
    assert (await printful.post("/orders", json=body())).status_code == status
    assert (await sim.client.printful.ledger(NAME)).times_created == made


async def test_120_calls_a_minute() -> None:
    async with serve(SimulatorSettings(deliver=False, printful_calls_per_minute=120)) as sim:
        headers = {"Authorization": "Bearer pf_test_onefold"}
        async with httpx.AsyncClient(base_url=sim.printful_url, headers=headers, trust_env=False) as http:
            codes = [(await http.get("/orders")).status_code for _ in range(121)]
            assert (codes.count(200), codes[-1]) == (120, 429)
            await sim.client.advance(61)
            assert (await http.get("/orders")).status_code == 200
