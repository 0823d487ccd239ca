"""The parts, in the order in which they are measured and reported."""

from yolanda.bench.part import Part

PARTS: tuple[Part, ...] = ()
