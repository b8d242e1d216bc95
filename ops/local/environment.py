"""The environment of the local stack's processes: ports, addresses, passwords and tokens.

Why: `onefold up`, the demo and the tests start the same processes, so what those are told stands in one place.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Final, Literal, Self

from ops.local import databases, paths, ports
from ops.local.child import LocalStackError

Profile = Literal["demo", "test", "production"]
SERVICES: Final = ("orders", "inventory", "payments", "fulfillment")
CALLERS: Final = (*SERVICES, "gateway", "demo", "operator", "emails", "analytics")
# What the endpoint at Stripe is subscribed to: all that has an effect on us.
STRIPE_TYPES: Final = (
    "payment_intent.*,checkout.session.*,charge.refunded,charge.refund.updated,refund.*,charge.dispute.*"
)
FILE: Final = "environment.json"
SECRETS_FILE: Final = "secrets.json"
PLACES: Final = (
    *("_PORT", "_TARGET", "_DATABASE_URL", "_KAFKA_BOOTSTRAP", "_TOPIC_PREFIX", "_STATE_DIR", "_WEBHOOK_URL"),
    *("_SMTP_HOST", "_SMTP_FOLDER", "_ANALYTICS_FOLDER"),
)
# What says that a command is about another Onefold than the local stack.
ELSEWHERE: Final = ("_TARGET", "_DATABASE_URL", "_KAFKA_BOOTSTRAP")
# The short names of a provider's secrets, which count for whoever has said that the provider is the real one.
SHORT_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "ONEFOLD_PAYMENTS_STRIPE_API_BASE": {
        "STRIPE_SECRET_KEY": "ONEFOLD_PAYMENTS_STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET": "ONEFOLD_GATEWAY_STRIPE_WEBHOOK_SECRET",
    },
    "ONEFOLD_FULFILLMENT_PRINTFUL_API_BASE": {
        "PRINTFUL_TOKEN": "ONEFOLD_FULFILLMENT_PRINTFUL_TOKEN",
        "PRINTFUL_STORE_ID": "ONEFOLD_FULFILLMENT_PRINTFUL_STORE_ID",
    },
}


@dataclass(frozen=True)
class Ports:
    """Every port of the stack; `ONEFOLD_<NAME>_PORT` chooses another."""

    postgres: int = 15432
    kafka: int = 19092
    orders: int = 50051
    inventory: int = 50052
    payments: int = 50053
    fulfillment: int = 50054
    orders_health: int = 50151
    inventory_health: int = 50152
    payments_health: int = 50153
    fulfillment_health: int = 50154
    emails_health: int = 50155
    analytics_health: int = 50156
    gateway: int = 8080
    simulators: int = 8090
    smtp: int = 8025
    smtp_http: int = 8026

    @classmethod
    def chosen(cls) -> Self:
        """The defaults, or what the environment says instead. Raises LocalStackError for what is no port."""
        defaults: dict[str, int] = asdict(cls())
        texts = {name: os.environ.get(variable(name)) or str(port) for name, port in defaults.items()}
        for name, text in texts.items():
            if not (text.isdecimal() and 0 < int(text) < 65_536):
                raise LocalStackError(f"{variable(name)}={text} is no port")
        return cls(**{name: int(text) for name, text in texts.items()})

    @classmethod
    def free(cls) -> Self:
        """Ports that nobody uses now, for a stack beside another one."""
        names = [field.name for field in fields(cls)]
        return cls(**dict(zip(names, ports.free_ports(len(names)), strict=True)))

    def require_free(self) -> None:
        """Raise LocalStackError for the first port that is taken."""
        for name, port in asdict(self).items():
            ports.require_free(port, name.replace("_", "'s "), variable(name))


@dataclass(frozen=True)
class Secrets:
    """Passwords, tokens and signing secrets of one local stack, made once and kept with its state."""

    roles: dict[str, str]
    tokens: dict[str, str]
    stripe_webhook: str
    printful_webhook: str  # hex (F-19)

    @classmethod
    def new(cls) -> Self:
        """Fresh random ones."""
        roles = [role for service in databases.MIGRATIONS for role in databases.roles_of(service)]
        return cls(
            roles={role: secrets.token_hex(16) for role in roles},
            tokens={caller: secrets.token_urlsafe(24) for caller in CALLERS},
            stripe_webhook=f"whsec_{secrets.token_hex(16)}",
            printful_webhook=secrets.token_hex(32),
        )

    @classmethod
    def kept_in(cls, state: Path) -> Self:
        """Those of an earlier start, or fresh ones that the next start finds."""
        path = state / SECRETS_FILE
        if not path.exists():
            _write_private(path, asdict(cls.new())).close()
        return cls(**json.loads(path.read_text()))


def variable(name: str) -> str:
    """`ONEFOLD_ORDERS_HEALTH_PORT` for `orders_health`."""
    return f"ONEFOLD_{name.upper()}_PORT"


def environment(state: Path, at: Ports, known: Secrets, profile: Profile = "demo") -> dict[str, str]:
    """All `ONEFOLD_...` variables of a stack whose files are in `state`."""
    result = {"ONEFOLD_PROFILE": profile, "ONEFOLD_STATE_DIR": str(state)}
    result |= {variable(name): str(port) for name, port in asdict(at).items()}
    server = f"postgresql://{ports.HOST}:{at.postgres}"
    for name in (*SERVICES, "emails"):
        access = databases.access(server, name, databases.database_of(name), known.roles)
        result |= _of(name, DATABASE_URL=access.serving)
    for name in (*SERVICES, "emails", "analytics"):
        result |= _of(name, KAFKA_BOOTSTRAP=f"{ports.HOST}:{at.kafka}")
    for name in SERVICES:
        result |= _of(name, CALLER_TOKENS=json.dumps(known.tokens))
        for caller in CALLERS:
            result |= _of(caller, **{f"{name.upper()}_TARGET": f"{ports.HOST}:{getattr(at, name)}"})
    for caller in CALLERS:
        result |= _of(caller, TOKEN=known.tokens[caller])
    return result | _outside(state, at, known)


def readiness(at: Ports) -> dict[str, str]:
    """Where each process of the Procfile says that it does its work."""
    services = {name: f"{getattr(at, f'{name}_health')}/readyz" for name in (*SERVICES, "emails", "analytics")}
    doors = {"gateway": f"{at.gateway}/readyz", "simulators": f"{at.simulators}/healthz"}
    return {
        name: f"http://{ports.HOST}:{place}"
        for name, place in (services | doors | {"smtp": f"{at.smtp_http}/healthz"}).items()
    }


def keep(state: Path, variables: Mapping[str, str]) -> IO[str]:
    """Write down what a stack is told, for `current`; it counts until the file that is returned is closed."""
    return _write_private(state / FILE, dict(variables), lock=True)


def current(state: Path | None = None) -> dict[str, str]:
    """The environment for a command that works on a stack: the running local one's, and what ours says besides.

    Who names a database, a Kafka or a service means those, and nothing of the local stack: half of each is neither.
    """
    path = (state or paths.state_folder()) / FILE
    told = own()
    if any(name.endswith(ELSEWHERE) for name in told) or not _is_held(path):
        return told
    stored: dict[str, str] = json.loads(path.read_text())
    return stored | told


def own() -> dict[str, str]:
    """What the person who starts us has set."""
    return {name: value for name, value in os.environ.items() if name.startswith("ONEFOLD_")}


def wishes() -> dict[str, str]:
    """What of it `onefold up` obeys: not where things are, which only its own ports decide.

    A provider's own place is obeyed, and with it the short names of its secrets.
    """
    told = own()
    short = {
        name: os.environ[known]
        for place, names in SHORT_NAMES.items()
        for known, name in names.items()
        if told.get(place) and os.environ.get(known)
    }
    return short | {name: value for name, value in told.items() if not name.endswith(PLACES)}


def _outside(state: Path, at: Ports, known: Secrets) -> dict[str, str]:
    """Where providers, mails and files are: the simulators stand in for every provider."""
    simulators, gateway = f"http://{ports.HOST}:{at.simulators}", f"http://{ports.HOST}:{at.gateway}"
    return {
        **_of("payments", STRIPE_SECRET_KEY="sk_test_onefold", STRIPE_API_BASE=f"{simulators}/stripe"),
        **_of("payments", PUBLIC_ORIGIN=gateway),
        **_of("fulfillment", PRINTFUL_TOKEN="pf_test_onefold", PRINTFUL_API_BASE=f"{simulators}/printful"),
        **_of("fulfillment", PRINTFUL_STORE_ID="1"),
        **_of("gateway", STRIPE_WEBHOOK_SECRET=known.stripe_webhook),
        **_of("gateway", PRINTFUL_WEBHOOK_SECRET=known.printful_webhook),
        **_of("simulators", STRIPE_KEY="sk_test_onefold", STRIPE_WEBHOOK_SECRET=known.stripe_webhook),
        **_of("simulators", STRIPE_WEBHOOK_URL=f"{gateway}/webhooks/stripe"),
        **_of("simulators", PRINTFUL_TOKEN="pf_test_onefold", PRINTFUL_WEBHOOK_SECRET=known.printful_webhook),
        **_of("simulators", PRINTFUL_WEBHOOK_URL=f"{gateway}/webhooks/printful"),
        **_of("simulators", STRIPE_WEBHOOK_TYPES=STRIPE_TYPES),
        **_of("simulators", AUTO="true"),  # goods are made, shipped and delivered by themselves
        **_of("emails", SMTP_HOST=ports.HOST, SMTP_PORT=str(at.smtp)),
        **_of("smtp", FOLDER=str(state / "mails")),
        **_of("analytics", FOLDER=str(state / "analytics")),
    }


def _of(process: str, **values: str) -> dict[str, str]:
    return {f"ONEFOLD_{process.upper()}_{name}": value for name, value in values.items()}


def _is_held(path: Path) -> bool:
    """Whether the process that wrote the file still lives and has not let it go."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _write_private(path: Path, content: object, *, lock: bool = False) -> IO[str]:
    """A file that only we may read, whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.fresh")
    file = os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
    json.dump(content, file, indent=1)
    file.flush()
    if lock:
        fcntl.flock(file, fcntl.LOCK_EX)
    fresh.rename(path)
    return file
