"""Walk through every interleaving of machines that talk over topics, and keep the shortest way to each breach.

Why an own one: the machines are the services' real pure functions, so a state is a tuple of small numbers, each of
which stands for a frozen value, and each step of a machine is computed once however often it is taken.

The world is four machines and six queues. A step is either a machine's own (a customer, a provider, time) or the
delivery of the first message of a queue. A queue is one consumer's view of one topic: first in, first out. Crash and
redelivery: a consumer that dies after its commit and before its offset gets the message once more, which `again` does
at any later moment before the next message of that queue is committed; dying before the commit is no step at all.
There is no inbox here: the domains themselves must bear the repetition.

Reduction: a step reads and writes one machine, takes from the heads of that machine's queues, and adds to tails of
others. So steps of two machines commute, unless one fills a queue of the other that was empty. Where each queue of a
machine has a message, or comes from machines that cannot act before this one does, nothing that others can do enables
or disables any of its steps: then its steps alone are tried (a persistent set). Breaches are seen in the steps of one
machine or at rest, which the order of commuting steps does not change; no step can be taken for ever (budgets run
out, sagas end, steps that change nothing are dropped), so no machine is put off for ever. `reduced=False` walks
without it; a test compares both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

State = tuple[Any, ...]
Sent = tuple[tuple[str, Hashable], ...]  # (receiver, message)


@dataclass(frozen=True, slots=True)
class Step:
    """What a machine can do: its next value, what it sends, and what is wrong with it."""

    label: str
    machine: Hashable
    sent: Sent = ()
    breach: str = ""
    must: bool = True  # false: someone may, but need not


class Machine(Protocol):
    """One participant; values are frozen, functions pure."""

    name: str

    def receive(self, value: Any, message: Any) -> Step:
        """The step that follows from a message."""

    def own_steps(self, value: Any) -> Iterable[Step]:
        """Steps that need no message."""


class Interned:
    """Numbers for values: equal values have the same number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values)
            self.values.append(value)
        return found


@dataclass
class Breach:
    """What went wrong, and the shortest way there."""

    what: str
    trace: list[str]

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {number:>2}. {step}" for number, step in enumerate(self.trace, 1))])


@dataclass
class Report:
    """What a walk saw."""

    name: str
    states: int = 0
    steps: int = 0
    rests: int = 0
    complete: bool = True
    endings: dict[str, int] = field(default_factory=dict)
    breach: Breach | None = None

    def __str__(self) -> str:
        endings = ", ".join(f"{name} {count}" for name, count in sorted(self.endings.items()))
        whole = "" if self.complete else " (cut)"
        return f"{self.name:<28} {self.states:>8} states{whole} {self.steps:>9} steps {self.rests:>6} rests: {endings}"


Coded = tuple[str, int, tuple[tuple[int, int], ...], str, bool]


class World:
    """Machines by name, who sends to whom, and what must hold at rest."""

    def __init__(
        self,
        machines: list[Machine],
        start: dict[str, Any],
        channels: list[tuple[str, str]],
        queued: dict[tuple[str, str], list[Any]],
        at_rest: Callable[[dict[str, Any]], str],
        ending: Callable[[dict[str, Any]], str],
        redeliveries: int = 0,
        reduced: bool = True,
    ) -> None:
        self.reduced = reduced
        self._machines = machines
        self._names = [machine.name for machine in machines]
        self._values = Interned()
        self._messages = Interned()
        self._own: list[dict[int, tuple[Coded, ...]]] = [{} for _ in machines]
        self._received: list[dict[tuple[int, int], Coded]] = [{} for _ in machines]
        self._at_rest, self._ending = at_rest, ending
        self._tails = {pair: number for number, pair in enumerate(channels)}
        self._senders = [self._names.index(sender) for sender, _ in channels]
        self._receivers = [self._names.index(receiver) for _, receiver in channels]
        self._alone: dict[tuple[tuple[bool, ...], tuple[bool, ...]], list[int]] = {}
        self._inbound = [
            tuple(number for number, (_, receiver) in enumerate(channels) if receiver == name) for name in self._names
        ]
        queues = tuple(
            (-1, redeliveries, tuple(self._messages.number(message) for message in queued.get(pair, ())))
            for pair in channels
        )
        numbers = tuple(self._values.number(start[name]) for name in self._names)
        self._start: State = (numbers, queues)

    def explore(self, name: str, limit: int = 2_000_000) -> Report:
        """Breadth first, so that the first breach has the shortest trace."""
        report = Report(name)
        came_from: dict[State, tuple[State, str] | None] = {self._start: None}
        waiting = deque([self._start])
        while waiting:
            state = waiting.popleft()
            must = False
            for label, after, breach, obliged in self._steps(state):
                must = must or obliged
                report.steps += 1
                if breach:
                    report.breach = Breach(breach, [*_trace(came_from, state), label])
                    break
                if after not in came_from:
                    came_from[after] = (state, label)
                    waiting.append(after)
            if report.breach is None and not must:
                self._look_at_rest(state, report, came_from)
            if report.breach is not None:
                break
            if len(came_from) >= limit:
                report.complete = False
                break
        report.states = len(came_from)
        return report

    def first(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The values of the nearest state with empty queues that is wanted."""
        seen = {self._start}
        waiting = deque([self._start])
        while waiting:
            state = waiting.popleft()
            values = self._values_of(state)
            if not any(queue[2] for queue in state[1]) and wanted(values):
                return values
            for _, after, _, _ in self._steps(state):
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        raise LookupError("no such state")

    def _values_of(self, state: State) -> dict[str, Any]:
        return {name: self._values.values[number] for name, number in zip(self._names, state[0], strict=True)}

    def _look_at_rest(self, state: State, report: Report, came_from: dict[State, tuple[State, str] | None]) -> None:
        values = self._values_of(state)
        report.rests += 1
        ending = self._ending(values)
        report.endings[ending] = report.endings.get(ending, 0) + 1
        wrong = self._at_rest(values)
        if wrong:
            report.breach = Breach(f"at rest: {wrong}", _trace(came_from, state))

    def _steps(self, state: State) -> list[tuple[str, State, str, bool]]:
        numbers, queues = state
        active = tuple(bool(self._own_steps(machine, number)) for machine, number in enumerate(numbers))
        filled = tuple(bool(queue[2]) for queue in queues)
        alone = self._alone.get((active, filled))
        if alone is None:
            alone = self._alone[active, filled] = self._who_is_alone(active, filled)
        if alone and self.reduced:
            return min((self._steps_of(machine, state) for machine in alone), key=len)
        return [step for machine in range(len(self._machines)) for step in self._steps_of(machine, state)]

    def _who_is_alone(self, active: tuple[bool, ...], filled: tuple[bool, ...]) -> list[int]:
        """Machines that can act and whose steps nobody else can enable or disable before they do."""
        found = []
        for machine, inbound in enumerate(self._inbound):
            can_act = {
                other
                for other, queues in enumerate(self._inbound)
                if other != machine and (active[other] or any(filled[queue] for queue in queues))
            }
            while True:
                woken = {
                    self._receivers[queue]
                    for queue, sender in enumerate(self._senders)
                    if sender in can_act and self._receivers[queue] != machine
                }
                if woken <= can_act:
                    break
                can_act |= woken
            acts = active[machine] or any(filled[queue] for queue in inbound)
            if acts and all(filled[queue] or self._senders[queue] not in can_act for queue in inbound):
                found.append(machine)
        return found

    def _steps_of(self, machine: int, state: State) -> list[tuple[str, State, str, bool]]:
        numbers, queues = state
        number = numbers[machine]
        found = [self._taken(state, machine, coded) for coded in self._own_steps(machine, number)]
        for index in self._inbound[machine]:
            kept, left, pending = queues[index]
            if pending:
                coded = self._deliver(machine, number, pending[0])
                queue = (pending[0] if left else -1, left, pending[1:])
                found.append(self._taken(state, machine, coded, index, queue))
            if kept >= 0:
                label, after, sent, breach, _ = self._deliver(machine, number, kept)
                if after != number or sent or breach:
                    twice = (f"again: {label}", after, sent, breach, False)
                    found.append(self._taken(state, machine, twice, index, (-1, left - 1, pending)))
        return found

    def _taken(
        self, state: State, machine: int, coded: Coded, index: int = -1, queue: Any = None
    ) -> tuple[str, State, str, bool]:
        numbers, queues = state
        label, number, sent, breach, must = coded
        if numbers[machine] != number:
            numbers = (*numbers[:machine], number, *numbers[machine + 1 :])
        if index >= 0 or sent:
            changed = list(queues)
            if index >= 0:
                changed[index] = queue
            for tail, message in sent:
                kept, left, pending = changed[tail]
                changed[tail] = (kept, left, (*pending, message))
            queues = tuple(changed)
        return label, (numbers, queues), breach, must

    def _deliver(self, machine: int, number: int, message: int) -> Coded:
        known = self._received[machine].get((number, message))
        if known is None:
            (step,) = _guarded(self._machines[machine], self._values.values[number], self._messages.values[message])
            known = self._received[machine][number, message] = self._code(machine, step)
        return known

    def _own_steps(self, machine: int, number: int) -> tuple[Coded, ...]:
        known = self._own[machine].get(number)
        if known is None:
            coded = (
                self._code(machine, step) for step in _guarded(self._machines[machine], self._values.values[number])
            )
            known = self._own[machine][number] = tuple(
                step for step in coded if step[1] != number or step[2] or step[3]
            )
        return known

    def _code(self, machine: int, step: Step) -> Coded:
        name = self._names[machine]
        sent = tuple((self._tails[name, to], self._messages.number(message)) for to, message in step.sent)
        return step.label, self._values.number(step.machine), sent, step.breach, step.must


def _guarded(machine: Machine, value: Any, message: Any = None) -> list[Step]:
    """The steps; a machine that raises is a breach like any other: its trace is wanted."""
    try:
        return list(machine.own_steps(value)) if message is None else [machine.receive(value, message)]
    except Exception as error:  # noqa: BLE001 whatever is wrong with a domain
        label = f"{machine.name} <- {type(message).__name__}"
        return [Step(label, value, breach=f"{machine.name} raised {type(error).__name__}: {error}")]


def _trace(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    steps: list[str] = []
    at: tuple[State, str] | None = came_from[state]
    while at is not None:
        steps.append(at[1])
        at = came_from[at[0]]
    return steps[::-1]
