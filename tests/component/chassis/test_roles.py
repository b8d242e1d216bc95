import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from pydantic_settings import SettingsConfigDict

from ops.local.databases import Access
from services.chassis import roles
from services.chassis.clock import Clock
from services.chassis.config import ServiceSettings
from services.chassis.db import Database


class ShopSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="ONEFOLD_SHOP_")


class Role:
    """Notes what happens, and asks its own process to stop as soon as it runs."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes

    def make(self, database: Database, settings: ShopSettings, clock: Clock, at_exit: AsyncExitStack) -> "Role":
        at_exit.callback(self._notes.append, f"{self.name} closed")
        self._database = database
        return self

    async def run(self, stop: asyncio.Event) -> None:
        self._notes.append(f"{self.name} {await self._database.fetchval('SELECT 1')}")
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()

    def ready(self) -> bool:
        return True


@pytest.fixture
def start(database: Callable[[str], Access], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    monkeypatch.setenv("ONEFOLD_PROFILE", "test")
    monkeypatch.setenv("ONEFOLD_SHOP_DATABASE_URL", database("chassis").serving)

    def started(role: str) -> list[str]:
        notes: list[str] = []
        monkeypatch.setattr("sys.argv", ["services.shop", role])
        monkeypatch.setattr(roles, "configure_logging", lambda *names: notes.append(" ".join(names)))
        roles.main(ShopSettings, {name: Role(name, notes).make for name in ("serve", "relay")})
        return notes

    return started


def test_a_process_runs_one_role_or_all(start: Callable[[str], list[str]]) -> None:
    assert start("relay") == ["shop info", "relay 1", "relay closed"]
    assert sorted(start("all")) == ["relay 1", "relay closed", "serve 1", "serve closed", "shop info"]


def test_wrong_settings_and_roles_end_it_with_a_text(
    start: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ONEFOLD_SHOP_DATABASE_URL")
    for role, text in (("serve", "ONEFOLD_SHOP_DATABASE_URL: Field required"), ("dance", "invalid choice: 'dance'")):
        with pytest.raises(SystemExit) as leaving:
            start(role)
        assert leaving.value.code == 2
        assert text in capsys.readouterr().err
