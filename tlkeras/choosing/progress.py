"""The clock of a long verb: its limit, what is left, and a line for each step."""

import math
import time
from typing import Any


class Clock:
    """Knows when a verb began, when it has to end, and says how far it is.

    Args:
        began: `time.perf_counter()` at the start.
        limit: Seconds that it may take; `None` for any number.
        verbose: 0 for no lines.
    """

    def __init__(self, began: float, limit: float | None, verbose: Any):
        self.began, self.limit, self.speaks = began, limit, verbose != 0
        self._series = began

    def left(self) -> float:
        """Returns the seconds that are left."""
        if self.limit is None:
            return math.inf
        return self.limit - (time.perf_counter() - self.began)

    def say(self, done: int, total: int, what: str) -> None:
        """Prints a line: what was done, and how long the rest will take.

        Args:
            done: Steps that are done, from 1 on.
            total: Steps at most.
            what: Of the last one.
        """
        now = time.perf_counter()
        rest = (now - self._series) / done * (total - done)
        rest = min(rest, max(0.0, self.left()))
        if done == total:
            self._series = now
        if self.speaks:
            left = f" (about {in_words(rest)} left)" if done < total else ""
            print(f"[{done}/{total}] {what}{left}", flush=True)


def in_words(seconds: float) -> str:
    """Returns a duration for people: `"12 s"`, `"3 min"`, `"2.5 h"`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
