"""buffer: what it says of each step is what the buffer did."""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from yolanda.programs.chapter34.buffer import MOST, WIDTH, main


def lines(*steps: str) -> list[str]:
    result = CliRunner().invoke(main, list(steps))
    assert result.exit_code == 0, result.output
    return result.output.splitlines()[1:]


def test_the_three_ways_of_making_room() -> None:
    said = [line.rpartition("| ")[2] for line in lines()]
    assert said[:4] == [
        "taken as it is, without a copy",
        "grown to 512",
        said[2],
        "moved 150 bytes to the front",
    ]
    assert said[5] == "62 into the room, 538 into the spare; grown to 950"


def test_an_empty_buffer_begins_at_its_front_again() -> None:
    last = lines("append:10", "append:10", "take:20")[-1]
    assert last.endswith("| empty: both indexes back to 0")
    assert last.split()[2:5] == ["0", "0", "512"]


@pytest.mark.parametrize(
    "step", ["append", "append:", "append:0", "append:-1", f"append:{MOST + 1}", "jump:1", "take:²"]
)
def test_what_is_no_step(step: str) -> None:
    result = CliRunner().invoke(main, [step])
    assert result.exit_code == 2
    assert "is no append, prepend, take or receive" in result.output


def test_more_than_there_is_cannot_be_taken() -> None:
    result = CliRunner().invoke(main, ["append:5", "take:6"])
    assert result.exit_code == 2
    assert "5 are readable" in result.output


@given(
    st.lists(
        st.tuples(st.sampled_from(["append", "prepend", "receive"]), st.integers(1, MOST)),
        max_size=10,
    )
)
def test_any_steps_can_be_drawn(steps: list[tuple[str, int]]) -> None:
    readable = 0
    shown = lines("append:1", *(f"{verb}:{size}" for verb, size in steps))
    for line, size in zip(shown, [1, *(size for _, size in steps)], strict=True):
        readable += size
        assert int(line.split()[3]) == readable
        assert len(line.split("|")[1]) == WIDTH
