"""A service as one process would run it, inside of the test: started, stepped and killed when the test says so.

Why: what a crash leaves behind depends on the very statement at which the process dies, so the test must choose it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any, Final

import asyncpg
import grpc.aio

from services.chassis.clock import Clock
from services.chassis.config import ServiceSettings
from services.chassis.consumer import Consumer
from services.chassis.db import Database, Transaction
from services.chassis.jobs import Job, JobRunner
from services.chassis.outbox import Relay
from services.chassis.testing import wait_until

_IDLE_JOBS: Final = ("-purge", "-partitions", "-reconcile")  # they mend nothing that a crash leaves behind
_CLOSE_S: Final = 10.0
_WROTE: Final = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL"


class Place(StrEnum):
    """Where a process can die."""

    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"
    AFTER_SEND = "after send"  # Kafka has the events, the outbox still has them too
    BEFORE_OFFSETS = "before offset commit"  # the database has committed, Kafka does not know


class Died(BaseException):
    """What goes on in a process that was killed; nothing in the product catches it."""


class Mortality:
    """Counts how often the process comes through each place, and lets it die at one of them, once."""

    def __init__(self, on_death: Callable[[], None]) -> None:
        self.passed: Counter[Place] = Counter()
        self._on_death = on_death
        self._dies: tuple[Place, int] | None = None
        self._dead: asyncio.Future[None] | None = None

    def die_at(self, place: Place, number: int = 1) -> None:
        """Die when it comes to `place` for the `number`th time from now on."""
        self._dies = (place, self.passed[place] + number)

    @property
    def is_armed(self) -> bool:
        """Whether a death was ordered that has not come."""
        return self._dies is not None

    def disarm(self) -> None:
        """Live on."""
        self._dies = None

    async def reach(self, place: Place) -> None:
        """The process is at `place`; a dead one goes nowhere from here."""
        self.passed[place] += 1
        if self._dead is None and self._dies is not None and self._dies == (place, self.passed[place]):
            self._dies = None
            self._dead = asyncio.get_running_loop().create_future()
            self._on_death()
        if self._dead is not None:
            await asyncio.shield(self._dead)

    def bury(self) -> None:
        """Ends what hangs in the dead process; the next one lives."""
        dead, self._dead = self._dead, None
        if dead is not None:
            dead.set_exception(Died())
            dead.exception()  # somebody has seen it, also if nothing hangs


class MortalDatabase(Database):
    """A database whose transactions that write are places to die at."""

    mortality: Mortality
    _is_severed = False

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        self._refuse_the_dead()
        try:
            async with super()._transaction() as tx:
                yield tx
                wrote = await tx.fetchval(_WROTE)
                if wrote:
                    await self.mortality.reach(Place.BEFORE_COMMIT)
            if wrote:
                await self.mortality.reach(Place.AFTER_COMMIT)
        finally:
            self._refuse_the_dead()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        self._refuse_the_dead()
        return await super().fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        self._refuse_the_dead()
        return await super().fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        self._refuse_the_dead()
        return await super().fetchval(sql, *args)

    def sever(self) -> None:
        """The connections break, as those of a dead process do, and nothing of it comes back."""
        self._is_severed = True
        self._pool.terminate()

    def _refuse_the_dead(self) -> None:
        if self._is_severed:
            raise Died


class Node:
    """All roles of one service on one database."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        roles: Mapping[str, Callable[..., Any]],
        clock: Clock,
        on_death: Callable[["Node"], None],
    ) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.mortality = Mortality(lambda: on_death(self))
        self.read = 0  # events that were consumed and whose offsets were committed
        self.deaths = 0
        self._roles = roles

    async def start(self) -> None:
        """Everything of it, on the same port as ever."""
        self._exit = AsyncExitStack()
        self.database = await MortalDatabase.connect(self.settings)
        self.database.mortality = self.mortality
        made = {role: make(self.database, self.settings, self.clock, self._exit) for role, make in self._roles.items()}
        self.relay_role: Relay = made["relay"]
        self.consumer: Consumer = made["consume"]
        self.runner: JobRunner = made["jobs"]
        self._door = made["serve"]
        self._let_relay_and_consumer_die()
        self._stop = asyncio.Event()
        self._serving = asyncio.create_task(self._door.run(self._stop))
        await wait_until(lambda: self._serving.done() or self._door.ready())
        if self._serving.done():
            await self._serving

    async def stop(self) -> None:
        """In good order."""
        self._stop.set()
        await self._serving
        await self.relay_role.close()
        await self.consumer.close()
        await self._exit.aclose()
        await self.database.close()

    async def restart(self) -> None:
        """The process is gone, whatever it was doing, and another one takes its place."""
        self.deaths += 1
        server = self._door
        while not isinstance(server, grpc.aio.Server):
            server = server._server
        self.database.sever()
        self.mortality.bury()
        await server.stop(None)
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        await self.relay_role.close()
        await self.consumer.close()
        with contextlib.suppress(Exception, Died):
            await asyncio.wait_for(self._exit.aclose(), _CLOSE_S)
        await self.start()

    async def relay(self) -> int:
        """Outbox to Kafka, once."""
        return await self.relay_role.run_once()

    async def consume(self) -> int:
        """One poll of Kafka."""
        read = await self.consumer.run_once()
        self.read += read
        return read

    async def rewind(self) -> None:
        """Everything that it ever consumed comes again."""
        assert self.consumer._kafka is not None
        await self.consumer._kafka.seek_to_beginning()
        self.read = 0

    def jobs(self) -> list[Job]:
        """What time asks of it."""
        return [job for job in self.runner._jobs if not job.name.endswith(_IDLE_JOBS)]

    def _let_relay_and_consumer_die(self) -> None:
        delete, commit = self.relay_role._delete_and_read, self.consumer._commit

        async def mortal_delete(acknowledged: Any, under_way: Any, most: int) -> list[Any]:
            if acknowledged:
                await self.mortality.reach(Place.AFTER_SEND)
            return await delete(acknowledged, under_way, most)

        async def mortal_commit(kafka: Any, offsets: Any) -> None:
            await self.mortality.reach(Place.BEFORE_OFFSETS)
            await commit(kafka, offsets)

        self.relay_role._delete_and_read = mortal_delete  # type: ignore[assignment,method-assign]
        self.consumer._commit = mortal_commit  # type: ignore[method-assign]


async def attended(work: Coroutine[Any, Any, Any], deaths: "asyncio.Queue[Node]") -> Any:
    """The result of `work`, or 0 if a process died under it; who dies meanwhile is replaced."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            death = asyncio.ensure_future(deaths.get())
            await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
            if death.done():
                await death.result().restart()
            else:
                death.cancel()
        with contextlib.suppress(Died):
            return task.result()
        return 0
    finally:
        task.cancel()
