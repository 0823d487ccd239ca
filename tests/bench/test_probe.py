"""A process that measures: it is asked, it answers, and whatever happens to it is told."""

import os

import pytest

from yolanda.bench import cores
from yolanda.bench.probe import Probe, ProbeError


def test_a_probe_answers_one_job_after_the_other() -> None:
    with Probe("yolanda.bench.exchanges") as probe:
        first = probe.ask("listen", kind="TCP")["address"]
        second = probe.ask("listen", kind="local stream")["address"]
    assert first[0] == "127.0.0.1"
    assert second.startswith("\0")


def test_what_a_job_cannot_do_is_told_with_the_name_of_the_error() -> None:
    with Probe("yolanda.bench.exchanges") as probe:
        # An address that nobody has: the name is free, for it is longer than what autobind gives.
        with pytest.raises(ProbeError, match=r"^ECONNREFUSED: "):
            probe.ask("stream", kind="local stream", address="\0yolanda-nobody", size=1, seconds=0)
        assert probe.ask("listen", kind="TCP")["address"]


def test_a_probe_that_does_not_answer_is_ended_and_begun_anew() -> None:
    with Probe("yolanda.bench.exchanges") as probe:
        probe.ask("listen", kind="TCP")
        probe.patience = 0.1
        with pytest.raises(ProbeError, match=r"no answer within 0\.1 seconds"):
            probe.ask("receive", read_size=1)  # nobody connects
        probe.patience = 30
        assert probe.ask("listen", kind="TCP")["address"]


def test_a_process_that_ends_is_told() -> None:
    with (
        Probe("yolanda.bench.results") as probe,
        pytest.raises(ProbeError, match="the measuring process ended: exit status 0"),
    ):
        probe.ask("anything")


def test_a_probe_keeps_the_core_it_was_made_on() -> None:
    client = cores.choose()[1]
    with cores.pinned(client):
        probe = Probe("yolanda.bench.exchanges")
    with probe:
        probe.ask("listen", kind="UDP")
        assert probe.pid is not None
        assert os.sched_getaffinity(probe.pid) == {client}
    assert probe.pid is None
