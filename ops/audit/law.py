"""What a law is: a function that reads witnesses and names every breach.

Why: each law is small and stands alone, so that a test can plant one breach and see exactly that line; and it names its
witnesses, so that nobody takes a law that nobody could look at for one that holds.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ops.audit.sources import TOPICS, Sources


@dataclass(frozen=True, order=True)
class Breach:
    """One line of the audit: which law, about what (ids), and what is wrong."""

    law: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.law}: {self.subject}: {self.text}"


# What a law finds: (ids, what is wrong).
Found = Iterable[tuple[str, str]]
Check = Callable[[Sources], Awaitable[Found]]


@dataclass(frozen=True)
class Law:
    """A named law; its sentence is what always holds, its witnesses are what must be read to know."""

    name: str
    sentence: str
    check: Check
    witnesses: Sequence[str]

    @property
    def is_about_topics(self) -> bool:
        """Whether it is looked at after the databases were closed, and so asks them nothing."""
        return TOPICS in self.witnesses

    async def breaches(self, sources: Sources) -> list[Breach]:
        """Every breach that the witnesses show."""
        return [Breach(self.name, subject, text) for subject, text in await self.check(sources)]

    def unseen(self, sources: Sources) -> list[str]:
        """The witnesses that are not there."""
        return [name for name in self.witnesses if name not in sources.present]


LAWS: Final[list[Law]] = []


def law(*witnesses: str) -> Callable[[Check], Check]:
    """Register a function as a law: its name is the law's, its docstring the sentence."""

    def register(check: Check) -> Check:
        name = getattr(check, "__name__", "")
        LAWS.append(Law(name, (check.__doc__ or "").strip().splitlines()[0], check, witnesses))
        return check

    return register
