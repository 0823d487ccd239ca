"""A range of times for the options of commands."""

import click


class TimeRange(click.FloatRange):
    """A range of times, all of which can be waited for: nan and inf cannot, whatever the range.

    The kernel counts a time-out in milliseconds, in 32 bits, so that it ends after 24 days.  The
    parameter's metavar says whether it is in seconds or in MS.
    """

    LONGEST = 1_000_000
    """Seconds."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the number, which is text yet."""
        number = super().convert(value, param, ctx)
        in_ms = param is not None and param.metavar == "MS"
        longest = self.LONGEST * 1000 if in_ms else self.LONGEST
        if not number <= longest:  # nor is nan
            self.fail(f"{value} is not a number up to {longest}.", param, ctx)
        return number
