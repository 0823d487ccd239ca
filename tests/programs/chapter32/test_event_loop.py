"""event-loop and channel-map: what the lab does not try."""

from yolanda.labs.stage import Stage


def test_without_a_tick_the_stream_ends_at_once(stage: Stage) -> None:
    program = stage.start("event-loop", "--ticks", "0", "--interval", "1", "--no-trace")
    program.expect_exit(0)
    assert program.lines[0] == "end of the stream: the channel leaves the loop"
    assert len(program.lines) == 2


def test_ctrl_c_ends_it(stage: Stage) -> None:
    program = stage.start("event-loop", "--interval", "100000")
    program.expect("event loop run, main thread")
    program.interrupt()
    program.expect_exit(130)
    assert not program.said("Traceback")


def test_a_dispatcher_that_is_not_there(stage: Stage) -> None:
    program = stage.start("event-loop", "--dispatcher", "magic")
    program.expect("^yolanda: error: .*'magic' is not one of")
    program.expect_exit(2)


def test_the_map_doubles(stage: Stage) -> None:
    program = stage.start("channel-map", "--descriptors", "150")
    for line in ("32", "32 -> 64", "64 -> 128", "128 -> 256"):
        program.expect(rf"map_make_space, .*\b{line}$")
    program.expect("^150 channels, 224 entries copied in all$")
    program.expect("watched for nothing")
    program.expect("is None")
    program.expect(r"closed (\d+) and \d+; the next to be opened is \1: ")
    program.expect_exit(0)
