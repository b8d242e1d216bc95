"""The SDK's typed objects parse every answer: each declared field is there with the declared type, and no other."""

import types
from collections.abc import Awaitable, Callable
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import pytest
import stripe

from simulators.app import RunningSimulators

# The SDK declares these, the API sends them only for features that are not simulated.
_ELSEWHERE = {"deleted", "managed_payments", "payment_details", "presentment_details", "hooks", "amount_details"}


def problems(row: stripe.StripeObject, path: str) -> list[str]:
    """Where a parsed answer differs from what its class declares."""
    declared = {
        name: kind for name, kind in type(row).__annotations__.items() if name[0] != "_" and name != "OBJECT_NAME"
    }
    if not declared:
        return []
    sent = set(row.to_dict())
    found = [f"{path}.{name} is not declared" for name in sent - set(declared)]
    for name, kind in declared.items():
        if name not in sent:
            if not _optional(kind) and name not in _ELSEWHERE:
                found.append(f"{path}.{name} is missing")
        elif not _fits(row[name], kind):
            found.append(f"{path}.{name} = {row[name]!r} is no {kind}")
        else:
            found.extend(_inside(row[name], f"{path}.{name}"))
    return found


def _inside(value: Any, path: str) -> list[str]:
    if isinstance(value, stripe.StripeObject):
        return problems(value, path)
    if isinstance(value, list):
        return [problem for item in value for problem in _inside(item, path + "[]")]
    return []


def _optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(kind))
    if origin is Literal:
        return value in get_args(kind)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is type(None):
        return value is None
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, (ForwardRef, str)) or getattr(origin, "__name__", "") == "UntypedStripeObject":
        return isinstance(value, stripe.StripeObject)
    if isinstance(origin or kind, type):
        return isinstance(value, origin or kind)
    return True


async def _intent(sdk: stripe.StripeClient, method: str | None = "pm_card_visa", **more: Any) -> stripe.PaymentIntent:
    params: Any = {"amount": 1_999, "currency": "usd", "metadata": {"order_id": "o-1"}, **more}
    if method:
        params |= {"payment_method": method, "confirm": True}
    return await sdk.v1.payment_intents.create_async(params)


async def _session(sdk: stripe.StripeClient) -> stripe.checkout.Session:
    line: Any = {"price_data": {"currency": "usd", "unit_amount": 700, "product_data": {"name": "Mug"}}, "quantity": 2}
    return await sdk.v1.checkout.sessions.create_async(
        {"mode": "payment", "success_url": "https://shop.example/ok", "line_items": [line]}
    )


Scene = Callable[[stripe.StripeClient, RunningSimulators], Awaitable[Any]]


async def _declined(sdk: stripe.StripeClient, sim: RunningSimulators) -> Any:
    intent = await _intent(sdk, None)
    await sim.client.stripe.confirm(intent.id, "pm_card_chargeDeclined")
    return await sdk.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})


async def _paid_session(sdk: stripe.StripeClient, sim: RunningSimulators) -> Any:
    session = await _session(sdk)
    await sim.client.stripe.pay_session(session.id)
    return await sdk.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent.latest_charge"]})


async def _line_items(sdk: stripe.StripeClient, sim: RunningSimulators) -> Any:
    return (await sdk.v1.checkout.sessions.line_items.list_async((await _session(sdk)).id)).data


async def _charge(sdk: stripe.StripeClient, sim: RunningSimulators) -> Any:
    intent = await _intent(sdk)
    return await sdk.v1.charges.retrieve_async(str(intent.latest_charge))


async def _refund(sdk: stripe.StripeClient, sim: RunningSimulators) -> Any:
    refund = await sdk.v1.refunds.create_async({"payment_intent": (await _intent(sdk)).id, "amount": 500})
    await sim.client.stripe.fail_refund(refund.id)
    return await sdk.v1.refunds.retrieve_async(refund.id)


async def _dispute(sdk: stripe.StripeClient, sim: RunningSimulators) -> Any:
    await _intent(sdk, "pm_card_createDispute")
    return (await sdk.v1.disputes.list_async()).data


async def _events(sdk: stripe.StripeClient, sim: RunningSimulators) -> Any:
    await _declined(sdk, sim)
    await _paid_session(sdk, sim)
    await _refund(sdk, sim)
    return (await sdk.v1.events.list_async({"limit": 100})).data


SCENES: dict[str, Scene] = {
    "new intent": lambda sdk, sim: _intent(sdk, None),
    "paid intent": lambda sdk, sim: _intent(sdk),
    "authorised intent": lambda sdk, sim: _intent(sdk, capture_method="manual"),
    "intent that needs an action": lambda sdk, sim: _intent(sdk, "pm_card_authenticationRequired"),
    "processing intent": lambda sdk, sim: _intent(sdk, "pm_usBankAccount_success"),
    "declined intent": _declined,
    "open session": lambda sdk, sim: _session(sdk),
    "paid session": _paid_session,
    "line items": _line_items,
    "charge": _charge,
    "failed refund": _refund,
    "dispute": _dispute,
    "events": _events,
}


@pytest.mark.parametrize("scene", SCENES)
async def test_the_sdk_s_types_fit_every_answer(sdk: stripe.StripeClient, sim: RunningSimulators, scene: str) -> None:
    answer = await SCENES[scene](sdk, sim)
    rows = answer if isinstance(answer, list) else [answer]
    assert rows
    assert [problem for row in rows for problem in problems(row, type(row).__name__)] == []


@pytest.mark.parametrize(
    ("type_", "class_"),
    [
        ("payment_intent.succeeded", stripe.PaymentIntent),
        ("checkout.session.completed", stripe.checkout.Session),
        ("charge.refunded", stripe.Charge),
        ("refund.failed", stripe.Refund),
    ],
)
async def test_an_event_carries_its_typed_object(
    sdk: stripe.StripeClient, sim: RunningSimulators, type_: str, class_: type[stripe.StripeObject]
) -> None:
    await _events(sdk, sim)
    [event] = (await sdk.v1.events.list_async({"type": type_})).data[:1]
    assert isinstance(event.data.object, class_)
    assert event.api_version == "2026-10-28.endive"
