"""The stage: what it sees, what it refuses to see, and that it leaves nothing behind."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from yolanda.labs.stage import Actor, LabFailed, LabSkipped, Stage
from yolanda.programs import socket_table


@pytest.fixture
def impatient() -> Stage:
    """A stage on which what does not come is missed soon."""
    return Stage(patience=0.2)


def say(stage: Stage, program: str, name: str = "actor") -> Actor:
    """Start a shell script as an actor."""
    return stage.start_command(["sh", "-c", program], name=name)


def test_expects_lines_in_order(stage: Stage) -> None:
    actor = say(stage, "echo one; echo two 2; echo three")
    assert actor.expect(r"two (\d)")[1] == "2"
    assert actor.expect("three")
    actor.expect_exit(0)
    assert actor.lines == ["one", "two 2", "three"]
    assert actor.said("one")
    assert not actor.said("four")


def test_a_line_is_matched_once(stage: Stage) -> None:
    actor = say(stage, "echo one")
    actor.expect("one")
    with pytest.raises(LabFailed, match="ended without saying 'one'"):
        actor.expect("one")


def test_what_is_not_said_in_time_fails(impatient: Stage) -> None:
    with impatient:
        actor = say(impatient, "echo other; read line")
        with pytest.raises(LabFailed, match=r"did not say 'this' within 0\.2 s"):
            actor.expect("this")


def test_an_end_that_does_not_come_fails(impatient: Stage) -> None:
    with impatient, pytest.raises(LabFailed, match="did not end"):
        say(impatient, "read line").expect_exit()


def test_a_wrong_status_fails(stage: Stage) -> None:
    with pytest.raises(LabFailed, match="ended with status 3, not 0"):
        say(stage, "exit 3").expect_exit(0)


def test_types_and_ends_the_input(stage: Stage) -> None:
    actor = say(stage, "cat; echo over")
    actor.type("grüße")
    actor.expect("grüße")
    actor.type_bytes(b"\xff\n")
    actor.expect(r"\\xff")
    actor.end_input()
    actor.expect("over")


def test_typing_into_an_ended_process_fails(stage: Stage) -> None:
    actor = say(stage, "exit 0")
    actor.expect_exit()
    with pytest.raises(LabFailed, match="reads no more"):
        actor.type("anybody there?")
    with pytest.raises(LabFailed, match="SIGTERM cannot be sent"):
        actor.terminate()


def test_signals(stage: Stage) -> None:
    interrupted = say(stage, "trap 'echo caught; exit 5' INT; echo ready; read line")
    interrupted.expect("ready")
    interrupted.interrupt()
    interrupted.expect("caught")
    interrupted.expect_exit(5)
    killed = say(stage, "echo ready; read line")
    killed.expect("ready")
    killed.kill()
    assert killed.expect_exit() == -9
    assert stage.moments[-1].text == "[SIGKILL]"


def test_a_paused_process_says_nothing_until_it_is_resumed(stage: Stage) -> None:
    actor = say(stage, "echo ready; while read line; do echo $line; done")
    actor.expect("ready")
    actor.pause()
    actor.type("hello")
    assert not actor.said("hello")
    actor.resume()
    actor.expect("hello")


def test_leaves_no_process_behind() -> None:
    with Stage() as stage:
        actor = say(stage, "echo ready; exec sleep 600")
        actor.expect("ready")
        folder = stage.folder
        assert actor.running
    with pytest.raises(ProcessLookupError):
        os.kill(actor.pid, 0)
    assert not folder.exists()
    assert stage.moments[-1].text == "[ended by the lab]"


def test_records_who_did_what(stage: Stage) -> None:
    actor = say(stage, "read line; echo $line")
    actor.type("hello")
    stage.note("the director speaks")
    actor.expect_exit(0)
    shown = [(moment.actor, moment.text, moment.by_director) for moment in stage.moments]
    assert (0, "> hello", True) in shown
    assert (None, "the director speaks", True) in shown
    assert (0, "hello", False) in shown
    assert shown[-1] == (0, "[exit status 0]", True)
    assert [moment.seconds for moment in stage.moments] == sorted(
        moment.seconds for moment in stage.moments
    )


def test_sees_the_kernels_table(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connection = stage.connect(port)
        # Who had the port before may have left something behind.
        states = sorted(r.state for r in stage.sockets(port) if r.state != "TIME_WAIT")
        assert states == ["ESTABLISHED", "ESTABLISHED", "LISTEN"]
        connection.close()


def test_skips_where_the_kernel_shows_no_table(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_table, "TABLES", ("/no/such/table",))
    with pytest.raises(LabSkipped, match="on Linux only"):
        stage.sockets(43211)


def test_waits_for_a_state(impatient: Stage) -> None:
    with impatient:
        impatient.wait_until(lambda: True, "nothing")
        with pytest.raises(LabFailed, match=r"did not see within 0\.2 s: a miracle"):
            impatient.wait_until(lambda: False, "a miracle")


def test_skips(stage: Stage) -> None:
    with pytest.raises(LabSkipped, match="no kqueue here"):
        stage.skip("no kqueue here")


def test_a_command_that_is_not_there(stage: Stage) -> None:
    with pytest.raises(FileNotFoundError):
        stage.start_command(["there-is-no-such-command"])


def test_a_shells_background_job_can_be_interrupted() -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from yolanda.labs.stage import Stage\n"
        "with Stage() as stage:\n"
        "    server = stage.start('tcpserver', '--port', '0')\n"
        "    server.port(); server.interrupt(); server.expect_exit(130)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_leaves_with_an_actor_whose_child_waits_for_another_actor() -> None:
    # The child of the first has its output too, and ends only when the second has.
    with Stage(patience=10) as stage:
        fifo = stage.folder / "fifo"
        os.mkfifo(fifo)
        parent = say(stage, f"(exec 3<{fifo}; read line <&3) & echo forked; wait", "parent")
        parent.expect("forked")
        other = say(stage, f"exec 3>{fifo}; echo opened; read line", "other")
        other.expect("opened")
        late = threading.Timer(8, other._process.kill)  # or a failure would last for ever
        late.start()
        began = time.monotonic()
    late.cancel()
    assert time.monotonic() - began < 7
