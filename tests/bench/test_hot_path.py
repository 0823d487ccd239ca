"""The profile of the hot path: calls that are counted, steps that are measured."""

import sys

import pytest

from yolanda.bench import tools, wrk
from yolanda.bench.part import Settings
from yolanda.bench.parts import hot_path, hot_path_steps
from yolanda.bench.results import PartResult
from yolanda.http import HttpLimits
from yolanda.http.codec import RequestDecoder, SharedParsers

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 62.05    0.003000           3      1001           sendto
 37.95    0.001835           1      1002         1 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.004835           2      2003         1 total
"""


class Silent:
    def expect(self, steps: int) -> None:
        pass

    def advance(self, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def test_strace_is_understood() -> None:
    assert hot_path.read_strace(STRACE) == {"sendto": 1001, "read": 1002}


@pytest.mark.parametrize(
    ("file", "function", "text"),
    [
        ("/a/codec.py", "encode", "encode (codec.py)"),
        ("~", "<method 'send' of '_socket.socket' objects>", "_socket.socket.send"),
        ("~", "<built-in method posix.read>", "posix.read"),
        ("~", "<built-in method __new__ of type object at 0x7f>", "__new__ of type object"),
        ("~", "<function socket.close at 0x7fbadbe79760>", "function socket.close"),
    ],
)
def test_functions_are_named(file: str, function: str, text: str) -> None:
    assert hot_path.call_text(file, function) == text


@pytest.mark.parametrize("request_bytes", hot_path_steps.REQUESTS.values())
def test_what_the_steps_decode_are_requests(request_bytes: bytes) -> None:
    decoder = RequestDecoder(SharedParsers(HttpLimits()))
    for data in [request_bytes, *hot_path_steps.changed(request_bytes)[:3]]:
        assert decoder.decode_head(data, 0) == len(data)
        assert decoder.request is not None
        assert decoder.request.path == "/"
    assert len(set(hot_path_steps.changed(request_bytes))) == 5000


def test_the_browser_is_that_of_wrk() -> None:
    request = hot_path_steps.REQUESTS["browser's GET"]
    assert request.count(b"\r\n") == 13
    assert b"\r\nCookie: session=" in request


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(tools.find("wrk") is None, reason="there is no wrk")
@pytest.mark.timeout(300)
def test_a_request_makes_a_read_and_a_send_and_its_steps_cost_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hot_path, "REQUESTS", {"small GET": wrk.SMALL})
    result = PartResult("profile")
    settings = Settings(short=True, rounds=1, seconds=0.3, only=("yolanda",))
    hot_path.measure(settings, Silent(), result)

    def figure(figure: str, **at: str) -> float:
        point = result.find("yolanda", {"load": "small GET", **at})
        assert point is not None, result.notes
        return point.samples[0][figure]

    assert figure("user") + figure("system") == pytest.approx(figure("cpu"))
    assert figure("calls", call="posix.read") == pytest.approx(1, abs=0.01)
    assert figure("calls", call="_socket.socket.send") == pytest.approx(1, abs=0.01)
    assert figure("python_calls", counted="calls") > 3
    if tools.find("strace") is not None and not any("strace" in note for note in result.notes):
        assert figure("kernel_calls", **{"system call": "sendto"}) == pytest.approx(1, abs=0.01)
    assert figure("cost", step=hot_path.TOGETHER) > figure("cost", step="send") > 0
    assert len(hot_path.find(result)) == 2
