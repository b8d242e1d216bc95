"""Both vendors with one time, one fault book and one webhook desk: one reset or leap in time reaches all."""

import asyncio
import contextlib
import random

from .printful.api import PrintfulApi
from .printful.store import Store
from .settings import SimulatorSettings
from .shared.clock import Agenda, SimulatorClock
from .shared.faults import FaultBook
from .shared.webhooks import WebhookDesk
from .stripe.account import Account
from .stripe.api import StripeApi
from .stripe.checkout import Checkout
from .stripe.page import HostedPage


class World:
    """All state of one simulator process; lives in memory only."""

    def __init__(self, settings: SimulatorSettings, clock: SimulatorClock) -> None:
        self.settings = settings
        self.clock = clock
        self.agenda = Agenda(clock)
        self.faults = FaultBook(random.Random(settings.seed))
        self.desk = WebhookDesk(
            clock,
            self.agenda,
            self.faults,
            settings.webhook_workers,
            settings.webhook_timeout_seconds,
            settings.retry_scale,
        )
        self.account = Account(settings, clock, self.agenda, self.faults, self.desk)
        self.checkout = Checkout(self.account)
        self.stripe = StripeApi(self.account, self.checkout)
        self.page = HostedPage(self.account, self.checkout)
        self.store = Store(settings, clock, self.agenda, self.faults, self.desk)
        self.printful = PrintfulApi(self.store)

    def reset(self) -> None:
        """Forget everything but the endpoints, the settings and the time."""
        self.agenda.clear()
        self.faults.clear()
        self.desk.discard()
        self.desk.log.clear()
        self.account.reset()
        self.checkout.clear()
        self.stripe.keys.clear()
        self.stripe.limit.clear()
        self.store.reset()
        self.printful.limit.clear()

    def advance(self, seconds: float) -> None:
        """Let time pass: what became due happens, in order."""
        self.clock.advance(seconds)
        self.agenda.run_due()
        self.agenda.changed.set()
        self.desk.changed.set()

    async def run(self) -> None:
        """What happens by itself: things that fall due, and webhooks when `deliver` is set."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_agenda())
            if self.settings.deliver:
                tasks.create_task(self.desk.run())

    async def _run_agenda(self) -> None:
        while True:
            self.agenda.run_due()
            self.agenda.changed.clear()
            due = self.agenda.next_due()
            pause = None if due is None else max(0.0, due - self.clock.now())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.agenda.changed.wait(), pause)
