"""For what widths pictures are drawn, and how much room letters need."""

from dataclasses import dataclass

_LETTER = 0.56
"""The width of a letter, in heights, on the average of fonts that a page may be shown with."""


@dataclass(frozen=True)
class Format:
    """For what width a picture is drawn; in pixels.

    - ``letters``: their height.
    - ``labels_aside``: the widest column of names that may stand beside lines.
    """

    name: str
    width: int
    height: int
    letters: float
    labels_aside: int

    def text_width(self, text: str, *, bold: bool = False) -> float:
        """Return about how wide a text will be; a page's fonts are not known here."""
        return len(text) * self.letters * _LETTER * (1.06 if bold else 1)

    def cut(self, text: str, room: float) -> str:
        """Return as much of a text as ``room`` holds."""
        fitting = int(room / (self.letters * _LETTER))
        return text if len(text) <= fitting else text[: max(1, fitting - 1)].rstrip() + "…"


WIDE = Format("wide", 760, 400, 12.5, 240)
NARROW = Format("narrow", 350, 300, 11.5, 110)
