"""The control API under /_control: the customer, the bank, the warehouse and the auditor, for tests and the demo."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from .. import views
from ..shared.faults import ApiFault, WebhookFault
from ..shared.refusal import Refusal
from ..world import World
from . import printful, stripe

Body = dict[str, Any]
Answer = BaseModel | dict[str, Any] | list[Any]
Handler = Callable[[World, dict[str, str], Body], Any]


def routes(world: World) -> list[BaseRoute]:
    """Every control route; a handler gets the path's and query's words and the JSON body."""
    table: list[tuple[str, str, Handler]] = [
        ("POST", "/reset", _reset),
        ("GET", "/clock", _clock),
        ("POST", "/clock/advance", _advance),
        ("GET", "/faults", _faults),
        ("DELETE", "/faults", _clear_faults),
        ("POST", "/faults/api", _api_fault),
        ("POST", "/faults/webhooks", _webhook_fault),
        ("POST", "/webhooks/endpoints", _endpoints),
        ("GET", "/webhooks/log", _log),
        ("POST", "/webhooks/discard", _discard),
        ("POST", "/webhooks/{event_id}/resend", _resend),
        *stripe.TABLE,
        *printful.TABLE,
    ]
    found: list[BaseRoute] = [Route("/webhooks/deliver", partial(_deliver, world), methods=["POST"])]
    return [*found, *(Route(path, _door(world, run), methods=[verb]) for verb, path, run in table)]


def _door(world: World, run: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            body = await request.json() if request.method == "POST" and await request.body() else {}
            words = {**dict(request.query_params), **request.path_params}
            return JSONResponse(_plain(run(world, words, body)))
        except Refusal as failure:
            return JSONResponse({"error": str(failure)}, failure.status)
        except (ValidationError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return serve


def _plain(answer: Any) -> Any:
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json")
    if isinstance(answer, dict):
        return {key: _plain(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [_plain(value) for value in answer]
    return answer


async def _deliver(world: World, request: Request) -> Response:
    """Send all that is due in order, one at a time; `late=true` also what is not due yet."""
    world.agenda.run_due()
    report = await world.desk.deliver(request.query_params.get("late") == "true")
    return JSONResponse(asdict(report))


def _reset(world: World, words: dict[str, str], body: Body) -> Answer:
    world.reset()
    return {}


def _clock(world: World, words: dict[str, str], body: Body) -> Answer:
    return views.ClockView(now=world.clock.now())


def _advance(world: World, words: dict[str, str], body: Body) -> Answer:
    world.advance(float(body["seconds"]))
    return views.ClockView(now=world.clock.now())


def _faults(world: World, words: dict[str, str], body: Body) -> Answer:
    api = [asdict(fault) for fault in world.faults.api]
    return views.FaultsView(api=api, webhook=[asdict(fault) for fault in world.faults.webhook])


def _clear_faults(world: World, words: dict[str, str], body: Body) -> Answer:
    world.faults.clear()
    return {}


def _api_fault(world: World, words: dict[str, str], body: Body) -> Answer:
    wanted = views.ApiFaultRequest.model_validate(body)
    fault = ApiFault(id=world.faults.next_id(), **wanted.model_dump())
    world.faults.api.append(fault)
    return asdict(fault)


def _webhook_fault(world: World, words: dict[str, str], body: Body) -> Answer:
    wanted = views.WebhookFaultRequest.model_validate(body)
    fault = WebhookFault(id=world.faults.next_id(), **wanted.model_dump())
    world.faults.webhook.append(fault)
    return asdict(fault)


def _endpoints(world: World, words: dict[str, str], body: Body) -> Answer:
    wanted = views.EndpointsRequest.model_validate(body)
    signer, endpoint = world.account.signer, world.store.endpoint
    if wanted.stripe_url is not None:
        signer.url = wanted.stripe_url
    if wanted.stripe_secret is not None:
        signer.secrets = wanted.stripe_secret
    if wanted.stripe_types is not None:
        signer.types = wanted.stripe_types
    if wanted.printful_url is not None:
        endpoint.url = wanted.printful_url
    if wanted.printful_secret is not None:
        bytes.fromhex(wanted.printful_secret)
        endpoint.secret = wanted.printful_secret
    if wanted.printful_version is not None:
        endpoint.version = wanted.printful_version
    return {}


def _log(world: World, words: dict[str, str], body: Body) -> Answer:
    return [asdict(attempt) for attempt in world.desk.log]


def _discard(world: World, words: dict[str, str], body: Body) -> Answer:
    return {"discarded": world.desk.discard()}


def _resend(world: World, words: dict[str, str], body: Body) -> Answer:
    event_id = words["event_id"]
    notice = world.store.notices.get(event_id)
    if notice is not None:
        world.desk.resend(notice)
    else:
        world.account.resend(event_id)
    return {}
