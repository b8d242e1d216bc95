"""The three ways in which a provider's call ends without an answer.

Why: what may be repeated depends only on whether the call was executed: no, surely not, or nobody knows.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any


class Declined(Exception):
    """The provider refused for good: the operation has FAILED with `code`; `answer` is kept for whoever asks why."""

    def __init__(self, code: str, message: str, answer: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.answer = answer


class Retryable(Exception):
    """Never executed, for sure (429, connection refused, no free connection): the same bytes are sent again later."""

    def __init__(self, message: str, *, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class Unknown(Exception):
    """Perhaps executed: looked up before anything else happens.

    `key_spent`: the provider itself answered 5xx and would replay that under the same key for ever (F-9), so the
    operation is never sent again; once look-ups proved absence, the service plans the next number.
    """

    def __init__(self, message: str, *, key_spent: bool = False) -> None:
        super().__init__(message)
        self.key_spent = key_spent
