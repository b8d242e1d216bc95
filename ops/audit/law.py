"""What a law is: a function that reads witnesses and names every breach.

Why: each law is small and stands alone, so that a test can plant one breach and see exactly that line.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ops.audit.sources import Sources


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
    """A named law; its sentence is what always holds."""

    name: str
    sentence: str
    check: Check

    async def breaches(self, sources: Sources) -> list[Breach]:
        """Every breach that the witnesses show."""
        return [Breach(self.name, subject, text) for subject, text in await self.check(sources)]


LAWS: Final[list[Law]] = []


def law(check: Check) -> Check:
    """Register a function as a law: its name is the law's, its docstring the sentence."""
    name = getattr(check, "__name__", "")
    LAWS.append(Law(name, (check.__doc__ or "").strip().splitlines()[0], check))
    return check
