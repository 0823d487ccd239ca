"""What a lab prints."""

import io
import re

from rich.console import Console

from yolanda.labs.report import show_beside, show_introduction, show_transcripts, show_verdicts
from yolanda.labs.stage import Moment, Stage, Verdict


def console(width: int = 100) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_introduction_reflows_paragraphs_and_keeps_listings() -> None:
    out = console(40)
    show_introduction(out, "lab", "What?\n\nOne\ntwo.\n\n    $ a\n    $ b\n")
    assert printed(out) == "lab: What?\nOne two.\n    $ a\n    $ b\n\n"


def test_transcripts_stand_side_by_side() -> None:
    with Stage() as stage:
        for name in ("left", "right"):
            stage.start_command(["true"], name=name)
    moments = [
        Moment(0.0, 0, "$ left", True),
        Moment(0.0125, 1, "hello [red]not markup[/red]", False),
        Moment(0.5, None, "look", True),
        Moment(1.5, 0, "done", False),
    ]
    out = console(80)
    show_transcripts(out, stage.actors, moments)
    lines = [line.rstrip() for line in printed(out).splitlines()]
    column = lines[0].index("right")
    assert lines[0].split() == ["ms", "left", "right"]
    assert lines[1].split(None, 1) == ["0", "$ left"]
    assert lines[2].index("hello [red]not markup[/red]") == column
    assert lines[3] == "   500  --- look"
    assert lines[4].split() == ["1500", "done"]


def test_the_middle_of_many_lines_is_left_out() -> None:
    with Stage() as stage:
        stage.start_command(["true"], name="talker")
    moments = [Moment(at / 1000, 0, f"line {at}", False) for at in range(1000)]
    out = console()
    show_transcripts(out, stage.actors, moments)
    text = printed(out)
    assert "line 0 " in text
    assert "line 999 " in text
    assert "[... 984 lines]" in text
    assert "line 500 " not in text


def test_a_line_of_the_directors_begins_a_new_row_of_lines() -> None:
    with Stage() as stage:
        stage.start_command(["true"], name="talker")
    moments = [Moment(at / 1000, 0, f"line {at}", False) for at in range(20)]
    moments.insert(10, Moment(0.01, None, "look", True))
    out = console()
    show_transcripts(out, stage.actors, moments)
    assert "[..." not in printed(out)


def test_no_more_than_it_saves_is_left_out() -> None:
    with Stage() as stage:
        stage.start_command(["true"], name="talker")
    for count in range(15, 25):
        out = console()
        show_transcripts(
            out, stage.actors, [Moment(at / 1000, 0, f"line {at}", False) for at in range(count)]
        )
        assert ("[..." in printed(out)) == (count > 20)


def test_on_a_terminal_text_is_folded_between_words_and_under_itself() -> None:
    words = "what becomes of the [bold]fourth[/bold] client"
    for is_terminal, expected in (
        (True, "  name  what becomes of\n        the fourth client\n"),
        (False, "  name  what becomes of the fourth client\n"),
    ):
        file = io.StringIO()
        out = Console(
            file=file, width=25, highlight=False, force_terminal=is_terminal, color_system=None
        )
        show_beside(out, "  name", words)
        shown = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
        assert re.sub(" +$", "", shown, flags=re.MULTILINE) == expected


def test_verdicts() -> None:
    out = console()
    assert show_verdicts(out, [Verdict("it rains", True, "wet")])
    assert not show_verdicts(out, [Verdict("it snows", False, "")])
    assert not show_verdicts(out, [Verdict("it rains", True, "")], "the sun did not rise")
    assert not show_verdicts(out, [])
    assert printed(out).splitlines() == [
        "seen      it rains  (wet)",
        "NOT SEEN  it snows",
        "seen      it rains",
        "NOT SEEN  the sun did not rise",
    ]


def test_what_would_command_the_terminal_is_written_out() -> None:
    with Stage() as stage:
        stage.start_command(["true"], name="program")
    out = console(80)
    show_transcripts(out, stage.actors, [Moment(0.0, 0, "\x1b[2J小红", False)])
    show_verdicts(out, [Verdict("passed on", True, "\x1b[2J")])
    assert "\x1b" not in printed(out)
    assert printed(out).count("\\x1b[2J") == 2
    assert "小红" in printed(out)
