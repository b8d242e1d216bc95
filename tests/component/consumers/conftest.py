"""The e-mail consumer on a database of the test's own, with orders as a real gRPC server and the SMTP sink."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from consumers.emails.config import EmailsSettings
from ops.local.databases import Access
from ops.local.smtp import open_sink
from services.chassis.clock import ManualClock
from services.chassis.testing import settings_for
from tests.component.consumers.postroom import Postroom, open_postroom


@pytest.fixture
async def postroom(database: Callable[[str], Access], clock: ManualClock, tmp_path: Path) -> AsyncIterator[Postroom]:
    async with open_sink(tmp_path / "mails") as sink:
        settings = settings_for(
            EmailsSettings, database("emails").serving, pool_size=6, smtp_port=sink.port, smtp_connections=2
        )
        async with open_postroom(settings, sink, clock) as opened:
            yield opened
