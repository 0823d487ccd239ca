"""A line for each request, which no request can forge, no rotation lose, and no reader hold up."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from yolanda.apps.observation.log_writer import HELD, LogWriter, open_log

from ..conftest import PATIENCE, Client, Load, Service, get, wait_until

Serve = Callable[..., Service]

COMMON = re.compile(
    r"(?P<client>\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<line>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+)'
)
COMBINED = re.compile(COMMON.pattern + r' "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"')


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(data)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def lines_of(path: Path, count: int) -> list[str]:
    """Wait until there are so many lines."""
    wait_until(lambda: path.exists() and path.read_text("ascii").count("\n") >= count)
    lines = path.read_text("ascii").splitlines()
    assert len(lines) == count
    return lines


def match(pattern: re.Pattern[str], line: str) -> dict[str, str]:
    found = pattern.fullmatch(line)
    assert found, line
    return found.groupdict()


# ---- what stands in it -------------------------------------------------------------------


@pytest.mark.parametrize("app", ["observed_app:app", "observed_app:wsgi_app"])
def test_common(serve_app: Serve, tmp_path: Path, app: str) -> None:
    service = serve_app("--access-log", "common", "--access-log-file", "log", app=app)
    body = get(service.address, "/path?query=%20")
    (line,) = lines_of(tmp_path / "log", 1)
    assert match(COMMON, line) == {
        "client": "127.0.0.1",
        "line": "GET /path?query=%20 HTTP/1.1",
        "status": "200",
        "bytes": str(len(body)),
    }


def test_without_a_word_it_is_common_on_standard_output(serve_app: Serve) -> None:
    service = serve_app("--access-log", "--workers", "2", stdout=subprocess.PIPE)
    get(service.address)
    assert service.process.stdout is not None
    assert match(COMMON, service.process.stdout.readline().rstrip("\n"))["status"] == "200"
    service.process.stdout.close()


def test_combined(serve_app: Serve, tmp_path: Path) -> None:
    service = serve_app("--access-log", "combined", "--access-log-file", "log")
    with Client(service.address) as client:
        client.ask("/a", "REFERER:  http://a/b ", "User-Agent: Mozilla/5.0 (X11)")
        client.ask("/b")
    first, second = (match(COMBINED, line) for line in lines_of(tmp_path / "log", 2))
    assert (first["referer"], first["agent"]) == ("http://a/b", "Mozilla/5.0 (X11)")
    assert (second["referer"], second["agent"]) == ("-", "-")


def test_json(serve_app: Serve, tmp_path: Path) -> None:
    service = serve_app("--access-log", "json", "--access-log-file", "log")
    port = service.address
    body = get(port, "/slow")
    (line,) = lines_of(tmp_path / "log", 1)
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert 0.5 <= told.pop("seconds") < PATIENCE
    assert told == {
        "client": "127.0.0.1",
        "method": "GET",
        "target": "/slow",
        "version": "HTTP/1.1",
        "status": 200,
        "bytes": len(body),
        "complete": True,
        "host": "test",
        "referer": None,
        "user_agent": None,
    }


NASTY = [
    b'"quoted"',
    b"back\\slash\\",
    b'\\" 200 0 "-" "forged',
    b"\xc3\xa9\xff\x80\xad",
    b"tab\there",
    b'", "status": 500, "x": "',
    b"\\n127.0.0.1 - - [x] \\u000a",
]


@pytest.mark.parametrize("style", ["combined", "json"])
def test_no_request_forges_a_line(serve_app: Serve, tmp_path: Path, style: str) -> None:
    service = serve_app("--access-log", style, "--access-log-file", "log")
    port = service.address
    for nasty in NASTY:
        head = b"GET /?%b HTTP/1.1\r\nHost: a\r\nReferer: %b\r\nUser-Agent: %b\r\n"
        target = nasty.replace(b" ", b"+").replace(b"\t", b"+")
        exchange(port, head % (target, nasty, nasty) + b"Connection: close\r\n\r\n")
    lines = lines_of(tmp_path / "log", len(NASTY))
    for nasty, line in zip(NASTY, lines, strict=True):
        assert line.isprintable()
        if style == "json":
            told = json.loads(line)
            assert told["status"] in (200, 400)
            if told["status"] == 200:
                assert told["user_agent"] == nasty.decode("utf-8", "backslashreplace")
        else:
            told = match(COMBINED, line)
            escaped = "".join(
                chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\x{c:02X}" for c in nasty
            )
            assert told["agent"] in (escaped, "-")
            assert (told["agent"] == "-") == (told["status"] == "400")


def test_requests_that_are_none(serve_app: Serve, tmp_path: Path) -> None:
    service = serve_app("--access-log", "--access-log-file", "log", "--limit-request-body", "5")
    port = service.address
    exchange(port, b'no "request"\x1b[2J\r\n\r\n')
    exchange(port, b"\x16\x03\x01\x02\x00\x01")
    exchange(port, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
    told = [match(COMMON, line) for line in lines_of(tmp_path / "log", 3)]
    assert [(t["line"], t["status"]) for t in told] == [
        ("-", "400"),
        ("-", "400"),
        ("POST /up HTTP/1.1", "413"),
    ]


@pytest.mark.parametrize("app", ["observed_app:app", "observed_app:wsgi_app"])
@pytest.mark.parametrize("believed", [True, False])
def test_the_client_is_whom_a_trusted_proxy_names(
    serve_app: Serve, tmp_path: Path, app: str, believed: bool
) -> None:
    option = "--proxy-headers" if believed else "--no-proxy-headers"
    service = serve_app("--access-log", "--access-log-file", "log", option, app=app)
    with Client(service.address) as client:
        client.ask("/", "X-Forwarded-For: 203.0.113.9")
        client.ask("/")
    first, second = (match(COMMON, line) for line in lines_of(tmp_path / "log", 2))
    assert first["client"] == ("203.0.113.9" if believed else "127.0.0.1")
    assert second["client"] == "127.0.0.1"


def test_a_client_that_leaves(serve_app: Serve, tmp_path: Path) -> None:
    service = serve_app("--access-log", "json", "--access-log-file", "log")
    with Client(service.address) as client:
        client.ask("/")
        client.send("/never")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _, line = lines_of(tmp_path / "log", 2)
    told = json.loads(line)
    assert (told["target"], told["status"], told["complete"]) == ("/never", 499, False)


# ---- where it goes -----------------------------------------------------------------------


def test_rotation_loses_no_line(serve_app: Serve, tmp_path: Path) -> None:
    service = serve_app("--access-log", "--access-log-file", "log", "--workers", "2")
    port = service.address
    log = tmp_path / "log"
    with Load(port) as load:
        for number in range(4):
            load.more(200)
            log.rename(tmp_path / f"log.{number}")
            service.send(signal.SIGUSR1)
            wait_until(lambda: log.exists() and log.stat().st_size)
    assert service.stop() == 0
    assert load.failures == []
    files = [tmp_path / f"log.{number}" for number in range(4)] + [log]
    lines = [line for file in files for line in file.read_text("ascii").splitlines()]
    for line in lines:
        assert match(COMMON, line)["status"] == "200"
    assert len(lines) == load.served


def test_reopening_without_a_log_ends_nobody(serve_app: Serve) -> None:
    service = serve_app()
    port = service.address
    service.send(signal.SIGUSR1)
    assert get(port)


def test_a_reader_that_does_not_read_holds_nobody_up(serve_app: Serve) -> None:
    service = serve_app("--access-log", "combined", stdout=subprocess.PIPE)
    with Client(service.address) as client:
        for number in range(100):  # more than a pipe holds
            client.ask(f"/{'x' * 4000}?{number}")
    assert service.stop() == 0
    assert "lines are lost: nobody takes them" in service.text
    assert service.process.stdout is not None
    service.process.stdout.close()


def test_lines_of_several_processes_are_whole_in_a_pipe(serve_app: Serve) -> None:
    service = serve_app("--access-log", "json", "--workers", "2", stdout=subprocess.PIPE)
    lines: list[str] = []
    assert service.process.stdout is not None
    stdout = service.process.stdout
    reader = threading.Thread(target=lambda: lines.extend(stdout))
    with Load(service.address) as load:
        reader.start()
        load.more(500)
    assert service.stop() == 0
    reader.join(PATIENCE)
    stdout.close()
    assert len(lines) == load.served
    assert {json.loads(line)["status"] for line in lines} == {200}


def test_a_file_that_cannot_be_opened_is_told_in_a_line(serve_app: Serve) -> None:
    service = serve_app("--access-log", "--access-log-file", "no/such/log")
    assert service.wait() != 0
    assert service.lines[-1].endswith("--access-log-file no/such/log: No such file or directory")


def test_a_named_pipe_without_a_reader_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device or address"):
        open_log(str(tmp_path / "pipe"))


# ---- the writer --------------------------------------------------------------------------


def test_what_cannot_be_held_is_lost_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    writer = LogWriter(str(path), "the log")
    line = b"x" * 999 + b"\n"
    written = (HELD + (1 << 20)) // len(line)  # the pipe holds some, too: 64 KiB (man 7 pipe)
    for _ in range(written):
        writer.write(line)
    assert "the log: 1 lines are lost: nobody takes them" in caplog.text
    received = b""
    closing = threading.Thread(target=writer.close, args=(PATIENCE,))
    closing.start()
    while piece := os.read(reader, 1 << 20):
        received += piece
    closing.join(PATIENCE)
    os.close(reader)
    lost = sum(int(number) for number in re.findall(r"(\d+) lines are lost", caplog.text))
    assert received.count(line) == written - lost
    assert len(received) % len(line) == 0


def test_a_full_disk_is_tried_again_and_then_told(caplog: pytest.LogCaptureFixture) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    writer = LogWriter("/dev/full", "the log")
    writer.write(b"one\n")
    writer.write(b"two\n")
    writer.close(PATIENCE)
    assert "the log: 2 lines are lost: No space left on device" in caplog.text


def test_a_pipe_that_nobody_reads_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = LogWriter(str(path), "the log")
    os.close(reader)
    writer.write(b"one\n")
    writer.close(PATIENCE)
    assert "the log: 1 lines are lost: Broken pipe" in caplog.text


def test_a_file_that_cannot_be_opened_again_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = LogWriter(str(folder / "log"), "the log")
    writer.write(b"before\n")
    folder.rename(tmp_path / "moved")
    writer.reopen()
    writer.write(b"after\n")
    writer.close(PATIENCE)
    assert (tmp_path / "moved" / "log").read_bytes() == b"before\nafter\n"
    assert "the log cannot be opened again, the old one stays" in caplog.text
