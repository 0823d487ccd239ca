"""How long to wait before the next try."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waiting with jitter, so that many clients of one server do not return at once.

    The wait before try ``n`` (1, 2, ...) is ``first * factor ** (n - 1)``, at most ``longest``, all
    in seconds, of which a random part of up to ``jitter`` (0 to 1) is taken off.  After
    ``attempts`` tries it is given up; `None`: never.
    """

    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.5
    attempts: int | None = None

    def __post_init__(self) -> None:
        if not (self.first > 0 and self.factor >= 1 and self.longest >= self.first):
            raise ValueError(f"a back-off grows from more than 0 seconds: {self}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is a share from 0 to 1, not {self.jitter}")

    def delay(self, attempt: int) -> float | None:
        """Seconds to wait after ``attempt`` failed tries; `None` to give up."""
        if self.attempts is not None and attempt >= self.attempts:
            return None
        # The exponent is bounded, since a float is: a client may go on trying for weeks.
        wait = min(self.longest, self.first * self.factor ** min(attempt - 1, 64))
        return wait * (1 - self.jitter * random.random())
