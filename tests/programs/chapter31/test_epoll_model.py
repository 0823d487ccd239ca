"""The model against the kernel, over any sequence of steps that Hypothesis thinks of."""

import errno
import select

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from yolanda.labs.stage import Stage
from yolanda.programs.chapter31.epoll_model import (
    ET,
    IN,
    MOST_PIECES,
    ONESHOT,
    SCENES,
    EventPoll,
    File,
    ModelWorld,
    RealWorld,
    obey,
    outcome,
    play,
)

NAMES = st.sampled_from("abc")
FLAGS = st.lists(st.sampled_from(["in", "out", "rdhup", "et", "oneshot"]), max_size=5).map(" ".join)


class Both(RuleBasedStateMachine):
    """Two worlds in which the same things happen."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ModelWorld()
        self.real = RealWorld() if hasattr(select, "epoll") else None

    def teardown(self) -> None:
        if self.real is not None:
            self.real.close()

    def do(self, line: str) -> None:
        try:
            expected = outcome(self.model, line)
        except ValueError:
            return  # nothing was done: it cannot be
        if self.real is not None:
            assert outcome(self.real, line) == expected

    @rule(name=NAMES, verb=st.sampled_from(["add", "mod"]), flags=FLAGS)
    def change(self, name: str, verb: str, flags: str) -> None:
        self.do(f"{verb} {name} {flags}")

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.do(f"del {name}")

    @rule(name=NAMES, verb=st.sampled_from(["write", "read"]), size=st.integers(1, 5))
    def move(self, name: str, verb: str, size: int) -> None:
        self.do(f"{verb} {name} {size}")

    @rule(name=NAMES, verb=st.sampled_from(["fill", "drain", "drain", "shut", "close"]))
    def act(self, name: str, verb: str) -> None:
        self.do(f"{verb} {name}")

    @rule(most=st.integers(1, 4))
    def wait(self, most: int) -> None:
        self.do(f"wait {most}")

    @invariant()
    def the_lists_are_sound(self) -> None:
        poll = self.model.epoll
        names = [item.key for item in poll.rbr]
        assert names == sorted(set(names))
        assert len(set(poll.rdllist)) == len(poll.rdllist)
        assert set(poll.rdllist) <= set(poll.rbr)
        for item in poll.rbr:  # what is ready for a level-triggered item is never forgotten
            if item.poll() and not item.events & (ET | ONESHOT):
                assert item in poll.rdllist


def test_the_model_and_the_kernel_agree() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Both, settings=settings(max_examples=150, stateful_step_count=40)
    )


@pytest.mark.parametrize("name", SCENES)
def test_scenes_agree(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    steps = SCENES[name][1].split(", ")
    stepper = play(steps)
    assert stepper.steps == len(steps)
    assert not stepper.disagreements
    assert "DISAGREE" not in capsys.readouterr().out


def test_the_model_plays_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    play(SCENES["level"][1].split(", "))
    printed = capsys.readouterr().out
    assert "model a:in" in printed
    assert "epoll a:in" not in printed


def test_a_difference_would_be_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(select, "epoll"):
        pytest.skip("this platform has no epoll")
    monkeypatch.setattr(EventPoll, "epoll_wait", lambda *_: [])
    assert play(["add a in", "write a", "wait"]).disagreements == 1
    assert "DISAGREE" in capsys.readouterr().out


def test_two_instances_may_watch_the_same_file() -> None:
    file, first, second = File("a"), EventPoll(), EventPoll()
    first.add(file, IN | ET)
    second.add(file, IN)
    file.write(1)
    assert first.epoll_wait(1) == second.epoll_wait(1) == [("a", IN)]
    assert not first.epoll_wait(1)
    first.delete(file)
    assert second.epoll_wait(1)
    with pytest.raises(OSError, match="No such file") as refusal:
        first.delete(file)
    assert refusal.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    "line",
    [
        "wait 0",
        "wait a",
        "wait 1 2",
        "wait ²",
        "add",
        "add a inn",
        "del",
        "del a b",
        "read",
        "read a -1",
        "jump a",
        "write a 1 1",
        "write a 1001",
    ],
)
def test_what_is_no_step(line: str) -> None:
    with pytest.raises(ValueError, match=r"is no step|is none of|is not a number|more than"):
        obey(ModelWorld(), line)


def test_what_a_socket_cannot_do_is_refused() -> None:
    world = ModelWorld()
    for _ in range(MOST_PIECES):
        obey(world, "write a")
    with pytest.raises(ValueError, match="more than a socket holds"):
        obey(world, "write a")
    obey(world, "close b")
    for verb in ("write", "fill", "drain", "shut", "close"):
        with pytest.raises(ValueError, match="the other end has gone"):
            obey(world, f"{verb} b")


def test_typed_steps(stage: Stage) -> None:
    program = stage.start("epoll-model", "-")
    program.type_bytes(
        b"# a comment\r\n\r\nadd a in et\r\nwrite a\njump \xff\nwait\nwrite b 9999\n"
    )
    program.end_input()
    program.expect("jump.* is no step")
    program.expect(r"wait .* model a:in")
    program.expect("more than a socket holds")
    program.expect("^3 steps: ")
    program.expect_exit(0)


def test_step_by_step(stage: Stage) -> None:
    program = stage.start("epoll-model", "--scene", "late", "--step")
    for line in SCENES["late"][1].split(", "):
        program.expect(f"next: {line}")
        program.type("")
    program.expect("^6 steps: ")
    program.expect_exit(0)
