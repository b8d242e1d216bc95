"""Settings of a process, read from its environment.

Why: every setting is typed, documented and printed by `onefold config`, and production does not start on a setting
that is only good enough for a laptop.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict

Profile = Literal["production", "demo", "test"]
PROFILE_VARIABLE: Final = "ONEFOLD_PROFILE"
SHORTEST_TOKEN: Final = 16


class ConfigurationError(Exception):
    """The environment does not hold what the process needs; the text names each variable."""


class PortTaken(ConfigurationError):
    """A port of this process belongs to another one."""

    def __init__(self, settings: "ProcessSettings", field: str) -> None:
        address = f"{settings.host}:{getattr(settings, field)}"
        variable = _variable(type(settings), field)
        super().__init__(f"{address} cannot be listened on, it is probably taken: set {variable}")


def by_profile(default: Any, *, description: str, demo: Any = None, test: Any = None, **rules: Any) -> Any:
    """A field whose default is shorter in the profiles `demo` and `test` (by default the same as in `demo`)."""
    shortened = {"demo": demo, "test": demo if test is None else test}
    extra: dict[str, Any] = {"profiles": {profile: value for profile, value in shortened.items() if value is not None}}
    return Field(default=default, description=description, json_schema_extra=extra, **rules)


def optional_secret(*, description: str, **rules: Any) -> Any:
    """A SecretStr field that production may leave empty."""
    return Field(default=SecretStr(""), description=description, json_schema_extra={"may_be_empty": True}, **rules)


class ProcessSettings(BaseSettings):
    """What every process needs; it is subclassed with `SettingsConfigDict(env_prefix="ONEFOLD_GATEWAY_")`."""

    model_config = SettingsConfigDict(
        env_prefix="ONEFOLD_", extra="ignore", populate_by_name=True, frozen=True, hide_input_in_errors=True
    )

    profile: Profile = Field(
        default="production",
        validation_alias=PROFILE_VARIABLE,
        description="demo and test shorten durations and allow development's tokens; production refuses them",
    )
    host: str = Field(default="127.0.0.1", description="address that the servers listen on")
    port: int = Field(default=0, ge=0, le=65535, description="port that it serves on; 0 takes a free one")
    health_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="HTTP port of /healthz, /readyz, /metrics; 0 a free one, none if unset",
    )
    token: SecretStr = Field(default=SecretStr(""), description="this service's own token for calls to the others")
    drain_delay_ms: int = by_profile(
        3_000, demo=0, description="between NOT_SERVING and refusing new calls, so that balancers notice", ge=0
    )
    grace_ms: int = by_profile(20_000, demo=5_000, description="how long running calls may go on after SIGTERM", ge=0)
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="info logs one line per call, warning only what went wrong"
    )

    @property
    def service(self) -> str:
        """The process' name, from the prefix of its variables: `orders`."""
        return service_of(type(self))

    @model_validator(mode="before")
    @classmethod
    def _shorten(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        profile = values.get(PROFILE_VARIABLE, values.get("profile", "production"))
        for name, field in cls.model_fields.items():
            shortened = _extra(field).get("profiles", {})
            if profile in shortened and not any(key in values for key in (name, *_aliases(field))):
                values[name] = shortened[profile]
        return values

    @model_validator(mode="after")
    def _refuse_insecure(self) -> Self:
        problems = list(_insecure(self)) if self.profile == "production" else []
        if problems:
            raise ValueError("; ".join(problems))
        return self


class ServiceSettings(ProcessSettings):
    """What every service needs on top: database, Kafka, callers, batches and jobs."""

    takes_calls: ClassVar[bool] = True  # a process that only reads events says no, and needs no callers

    database_url: str = Field(description="PostgreSQL of this service, as its serving role: postgresql://role@host/db")
    kafka_bootstrap: str = Field(default="127.0.0.1:19092", description="Kafka brokers, host:port, by commas")
    topic_prefix: str = Field(default="", description="put before topics, groups and transactional ids; for tests")
    pool_size: int = Field(default=10, ge=1, le=200, description="most connections to PostgreSQL per process")
    statement_timeout_ms: int = Field(default=10_000, ge=1, description="longest statement; PostgreSQL's default: none")
    lock_timeout_ms: int = Field(default=5_000, ge=1, description="longest wait for a lock; PostgreSQL's default: none")
    idle_in_transaction_timeout_ms: int = Field(
        default=15_000, ge=1, description="a transaction idle for longer is ended by PostgreSQL (F-28, F-30)"
    )
    caller_tokens: dict[str, str] = Field(
        default_factory=dict, repr=False, description='callers and their tokens as JSON: {"gateway": "..."}'
    )
    batch_max: int = Field(default=256, ge=1, le=1024, description="most commands in one flush (SAGA 8)")
    queue_max: int = Field(
        default=2048, ge=1, description="most commands that wait for a flush, then RESOURCE_EXHAUSTED"
    )
    plumbing_retry_ms: int = by_profile(
        30_000, demo=10_000, test=5_000, description="how long a batch without deadlines retries a lost database", ge=0
    )
    request_lease_ms: int = by_profile(
        30_000, demo=10_000, test=3_000, description="how long a request id belongs to the call that claimed it", ge=1
    )
    request_retention_hours: int = Field(default=24, ge=24, description="how long finished request ids are kept (S-5)")
    relay_poll_ms: int = by_profile(1_000, demo=1_000, test=50, description="outbox poll when no wake-up came", ge=1)
    consumer_batch_max: int = Field(default=256, ge=1, description="most events in one consumer's transaction")
    parked_keys_per_minute_max: int = Field(default=20, ge=1, description="more parked keys a minute stop the consumer")
    job_interval_ms: int = by_profile(
        5_000, demo=1_000, test=100, description="pause between runs of a job that nobody woke", ge=1
    )

    @model_validator(mode="after")
    def _refuse_shared_tokens(self) -> Self:
        callers: dict[str, str] = {}
        for caller, token in self.caller_tokens.items():
            other = callers.setdefault(token, caller)
            if other != caller:
                raise ValueError(f"{_variable(type(self), 'caller_tokens')}: {other} and {caller} share one token")
        return self


AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def load(settings_class: type[AnySettings]) -> AnySettings:
    """The settings from the environment. Raises ConfigurationError, which names variables and shows no value."""
    try:
        return settings_class()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            place = str(problem["loc"][0]) if problem["loc"] else ""
            field = settings_class.model_fields.get(place)
            name = _variable(settings_class, place) if field else place
            text = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {text}" if name else text)
        raise ConfigurationError("\n".join(lines)) from None


class Setting(NamedTuple):
    """One line of `onefold config`."""

    variable: str
    type: str
    default: str
    description: str


def describe(settings_class: type[BaseSettings]) -> list[Setting]:
    """Every setting of the class: variable, type, default (`required` if there is none) and what it means."""
    return [
        Setting(_variable(settings_class, name), _type_of(field), _default_of(field), field.description or "")
        for name, field in settings_class.model_fields.items()
    ]


def service_of(settings_class: type[BaseSettings]) -> str:
    """`orders` for the prefix `ONEFOLD_ORDERS_`."""
    return _prefix(settings_class).removeprefix("ONEFOLD_").rstrip("_").lower() or "onefold"


def _insecure(settings: ProcessSettings) -> Iterator[str]:
    kind = type(settings)
    if isinstance(settings, ServiceSettings):
        variable = _variable(kind, "caller_tokens")
        if settings.takes_calls and not settings.caller_tokens:
            yield f"{variable} is empty: nobody could call this service"
        for caller, token in settings.caller_tokens.items():
            if len(token) < SHORTEST_TOKEN:
                yield f"{variable}: the token of {caller} has fewer than {SHORTEST_TOKEN} characters"
    for name, field in kind.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and not value.get_secret_value() and not _extra(field).get("may_be_empty"):
            yield f"{_variable(kind, name)} is empty: production needs it ({field.description})"


def _variable(settings_class: type[BaseSettings], name: str) -> str:
    aliases = _aliases(settings_class.model_fields[name])
    return aliases[0] if aliases else f"{_prefix(settings_class)}{name}".upper()


def _prefix(settings_class: type[BaseSettings]) -> str:
    return settings_class.model_config.get("env_prefix", "")


def _aliases(field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias] if isinstance(alias, str) else []


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, Mapping) else {}


def _type_of(field: FieldInfo) -> str:
    annotation = field.annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, SecretStr):
        return '""'
    shortened = ", ".join(f"{profile}: {short}" for profile, short in _extra(field).get("profiles", {}).items())
    return f"{value!r} ({shortened})" if shortened else repr(value)
