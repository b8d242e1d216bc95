"""A vendor's rate limit as a sliding window, because clients must live with 429 (F-10, F-18)."""

from collections import deque

from .clock import SimulatorClock


class RateLimit:
    """At most `calls` in any `seconds`; 0 calls means no limit."""

    def __init__(self, clock: SimulatorClock, calls: int, seconds: float) -> None:
        self._clock = clock
        self._calls = calls
        self._seconds = seconds
        self._times: deque[float] = deque()

    def admit(self) -> bool:
        """Count a call; False when it is one too many."""
        if not self._calls:
            return True
        now = self._clock.now()
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        if len(self._times) >= self._calls:
            return False
        self._times.append(now)
        return True

    def retry_after(self) -> int:
        """Whole seconds until a call is admitted again, at least 1."""
        if not self._times:
            return 1
        return max(1, int(self._times[0] + self._seconds - self._clock.now()) + 1)

    def clear(self) -> None:
        """Start counting anew."""
        self._times.clear()
