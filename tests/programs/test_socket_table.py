import os
import socket
import sys

import pytest

from yolanda.programs import socket_table
from yolanda.programs.socket_table import TcpRow, endpoint, parse, tcp_sockets

HEADING = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
    " inode\n"
)
# Written by a little-endian machine.
SAMPLE = [
    HEADING,
    "   0: 0100007F:A8CB 00000000:0000 0A 00000000:00000002 00:00000000 00000000"
    "  1000        0 1060 1 000000004631a6c0 100 0 0 10 0                     \n",
    "   1: 0100007F:A8CB 0100007F:C350 01 00000400:00000010 02:000003E8 00000000"
    "  1000        0 2071 2 0000000046310000 20 4 30 10 -1\n",
    "   2: 0100007F:C350 0100007F:A8CB 06 00000000:00000000 03:00001770 00000000"
    "     0        0 0 3 0000000046311111\n",
    "   3: 0000000000000000FFFF00000100007F:A8CB 00000000000000000000000001000000:0050 2A"
    " 00000000:00000000 00:00000000 00000000  1000        0 9 1 0000000046312222\n",
]
little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the sample is little-endian")
linux = pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="no /proc/net/tcp here")


@little_endian
def test_every_column_is_read() -> None:
    assert list(parse(SAMPLE)) == [
        TcpRow("127.0.0.1:43211", "0.0.0.0:0", "LISTEN", 0, 2, 1060),
        TcpRow(
            "127.0.0.1:43211", "127.0.0.1:50000", "ESTABLISHED", 1024, 16, 2071, "keepalive", 10.0
        ),
        TcpRow("127.0.0.1:50000", "127.0.0.1:43211", "TIME_WAIT", 0, 0, 0, "timewait", 60.0),
        # A state that a later kernel may add is shown as it stands.
        TcpRow("[::ffff:127.0.0.1]:43211", "[::1]:80", "2A", 0, 0, 9),
    ]


@little_endian
@pytest.mark.parametrize(
    ("port", "lines"), [(43211, [0, 1, 2, 3]), (50000, [1, 2]), (80, [3]), (0, [0]), (6, [])]
)
def test_only_the_lines_with_the_port_are_read(port: int, lines: list[int]) -> None:
    every = list(parse(SAMPLE))
    assert list(parse(SAMPLE, port=port)) == [every[line] for line in lines]


@little_endian
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0100007F:A8CB", "127.0.0.1:43211"),
        ("00000000:0000", "0.0.0.0:0"),
        ("00000000000000000000000000000000:A8CB", "[::]:43211"),
    ],
)
def test_an_endpoint(text: str, expected: str) -> None:
    assert endpoint(text) == expected


def port_of(endpoint: str) -> str:
    return endpoint.rpartition(":")[2]


@linux
def test_the_port_at_either_end_is_found_and_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            client_port = client.getsockname()[1]
            states = sorted(row.state for row in tcp_sockets(port))
            assert states == ["ESTABLISHED", "ESTABLISHED", "LISTEN"]
            ends = {f"127.0.0.1:{port}", f"127.0.0.1:{client_port}"}
            rows = tcp_sockets(client_port)  # and those of others who have it for another peer
            assert len([row for row in rows if {row.local, row.peer} == ends]) == 2
            assert all(str(client_port) in (port_of(row.local), port_of(row.peer)) for row in rows)
            assert len(tcp_sockets()) >= 3
            ours = os.fstat(client.fileno()).st_ino
            assert ours in [row.inode for row in tcp_sockets(port)]


def test_a_system_without_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_table, "TABLES", ("/proc/net/no-such-table",))
    with pytest.raises(OSError, match="on Linux only"):
        tcp_sockets()


@linux
def test_a_kernel_without_ipv6_has_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_table, "TABLES", (socket_table.TABLES[0], "/proc/net/no-such"))
    tcp_sockets()
