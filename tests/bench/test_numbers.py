import pytest

from yolanda.bench.part import Figure
from yolanda.bench.report import numbers
from yolanda.bench.results import Condition, Spread

MICROSECONDS = Figure("cpu", "CPU", "us", 1e6, 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9.128, "9.13"),
        (9.999, "10.0"),
        (12.34, "12.3"),
        (123.4, "123"),
        (48213.7, "48,214"),
        (0.0034, "0.003"),
        (float("nan"), "-"),
    ],
)
def test_numbers_have_three_digits_and_commas(value: float, text: str) -> None:
    assert numbers.number(value) == text


def test_a_figure_is_written_in_its_unit() -> None:
    assert numbers.value_text(MICROSECONDS, 9.128e-6) == "9.13\N{NO-BREAK SPACE}µs"
    assert numbers.value_text(Figure("rate", "", "/s", 1, 0), 1234.5) == "1,234/s"
    assert numbers.spread_text(MICROSECONDS, Spread(2e-6, 1e-6, 3e-6, 3)) == "1.00 – 3.00"


def test_many_microseconds_are_told_in_a_larger_unit() -> None:
    assert numbers.value_text(MICROSECONDS, 9.9e-3) == "9,900\N{NO-BREAK SPACE}µs"
    assert numbers.value_text(MICROSECONDS, 0.047006) == "47.0\N{NO-BREAK SPACE}ms"
    assert numbers.value_text(MICROSECONDS, 12.5) == "12.5\N{NO-BREAK SPACE}s"
    assert numbers.value_text(MICROSECONDS, 0.047006, unit=False) == "47,006"


def test_one_round_has_no_spread() -> None:
    assert numbers.spread_text(MICROSECONDS, Spread(2e-6, 2e-6, 2e-6, 1)) == ""
    assert numbers.ratio_spread_text(Spread(2, 2, 2, 1)) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.0031, "0.0031"), (0.434, "0.43"), (12.34, "12.3"), (330.4, "330")]
)
def test_ratios_keep_what_can_be_told_apart(value: float, text: str) -> None:
    assert numbers.ratio_text(value) == f"{text}\N{NO-BREAK SPACE}×"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("size", 64, "64\N{NO-BREAK SPACE}B"),
        ("size", 65536, "64\N{NO-BREAK SPACE}KiB"),
        ("buffer_size", 1 << 20, "1\N{NO-BREAK SPACE}MiB"),
        ("size", 1500, "1,500\N{NO-BREAK SPACE}B"),
        ("share", 0.01, "1%"),
        ("connections", 10000, "10,000"),
        ("load", "small GET", "small GET"),
    ],
)
def test_conditions_are_written_as_people_do(name: str, value: Condition, text: str) -> None:
    assert numbers.condition_text(name, value) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.25, "4.2 s"), (90, "2 min"), (7500, "2 h 5 min")])
def test_durations(seconds: float, text: str) -> None:
    assert numbers.duration_text(seconds) == text
