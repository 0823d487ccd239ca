"""How an endpoint is written, and the sockets that are opened from it."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.address import Address, AddressError, bind_socket, open_socket, resolve

needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:43211", Address("127.0.0.1", 43211)),
        ("localhost:80", Address("localhost", 80)),
        ("[::1]:43211", Address("::1", 43211)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
        (":43211", Address("", 43211)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("unix:/run/y.sock", Address(path="/run/y.sock")),
        ("unix:relative.sock", Address(path="relative.sock")),
        ("unix:@abstract", Address(path="@abstract")),
        ("fd:3", Address(fd=3)),
    ],
)
def test_reads_and_writes(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


def test_a_bare_port_stays_on_this_machine() -> None:
    assert Address.parse("43211") == Address("127.0.0.1", 43211)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "host",
        "host:",
        "host:http",
        "host:-1",
        "host:65536",
        "host:1:2",
        "host:\N{ARABIC-INDIC DIGIT ONE}",
        "::1:80",
        "[::1",
        "[::1]",
        "[::1]80",
        "[]:80",
        "[127.0.0.1]:80",
        "[::zz]:80",
        "a b:80",
        "a/b:80",
        "user@host:80",
        "65536",
        "-1",
        "unix:",
        "unix:@",
        "unix:/" + "x" * 107,
        "unix:/a\0b",
        "fd:",
        "fd:-1",
        "fd:x",
    ],
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value)


_hosts = st.one_of(
    st.ip_addresses().map(str),
    st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z0-9-]{1,10}){0,3}", fullmatch=True),
    st.just(""),
)
_paths = st.text(
    st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=100
).filter(lambda path: path != "@")
_addresses = st.one_of(
    st.builds(Address, _hosts, st.integers(0, 65535)),
    st.builds(lambda path: Address(path=path), _paths),
    st.builds(lambda fd: Address(fd=fd), st.integers(0, 1 << 20)),
)


@given(_addresses)
def test_what_is_written_can_be_read(address: Address) -> None:
    assert Address.parse(str(address)) == address


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    error: AddressError | None = None
    try:
        address = Address.parse(text)
    except AddressError as raised:
        error = raised
    if error is None:
        assert Address.parse(str(address)) == address
    else:
        assert repr(text) in str(error)


def test_sockaddrs() -> None:
    assert Address.from_sockaddr(socket.AF_INET, ("10.0.0.1", 7)) == Address("10.0.0.1", 7)
    assert str(Address.from_sockaddr(socket.AF_INET6, ("::1", 7, 0, 0))) == "[::1]:7"
    mapped = Address.from_sockaddr(socket.AF_INET6, ("::ffff:10.0.0.1", 7, 0, 0))
    assert mapped == Address("10.0.0.1", 7)
    assert str(Address.from_sockaddr(socket.AF_UNIX, "/a")) == "unix:/a"
    assert str(Address.from_sockaddr(socket.AF_UNIX, b"\0name")) == "unix:@name"


def test_resolve() -> None:
    assert resolve(Address("127.0.0.1", 5)) == [(socket.AF_INET, ("127.0.0.1", 5))]
    assert resolve(Address(path="/a")) == [(socket.AF_UNIX, "/a")]
    assert resolve(Address(path="@a")) == [(socket.AF_UNIX, "\0a")]
    families = {family for family, _ in resolve(Address("localhost", 5))}
    assert families <= {socket.AF_INET, socket.AF_INET6}
    assert families
    with pytest.raises(AddressError, match="fd:3"):
        resolve(Address(fd=3))
    with pytest.raises(AddressError, match=r"no\.such\.host\.invalid:5"):
        resolve(Address("no.such.host.invalid", 5))


# ---- binding ---------------------------------------------------------------------------------


def test_the_kernel_chooses_a_port() -> None:
    bound = bind_socket(Address.parse("127.0.0.1:0"))
    assert bound.address.host == "127.0.0.1"
    assert bound.address.port > 0
    assert bound.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not bound.socket.getblocking()
    assert not bound.socket.get_inheritable()
    bound.close()
    bound.close()


def test_a_used_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(OSError, match=str(address)) as caught:
            bind_socket(address)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_foreign_address_is_named() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0") as caught:
        bind_socket(Address("192.0.2.1", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_two_share_a_port_if_both_want_to() -> None:
    first = bind_socket(Address("127.0.0.1", 0), reuse_port=True)
    second = bind_socket(first.address, reuse_port=True)
    assert first.address == second.address
    first.socket.listen()  # before that, SO_REUSEADDR lets anybody in
    with pytest.raises(OSError, match="in use"):
        bind_socket(first.address)
    first.close()
    second.close()


@needs_ipv6
def test_every_interface_means_both_families() -> None:
    bound = bind_socket(Address.parse(":0"))
    bound.socket.listen()
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, bound.address.port), timeout=5) as client:
            peer = client.getsockname()
            accepted, sockaddr = bound.socket.accept()
            with accepted:
                seen = Address.from_sockaddr(bound.socket.family, sockaddr)
                assert (seen.host, seen.port) == peer[:2]
    bound.close()


@needs_ipv6
def test_an_ipv6_address_is_ipv6_only() -> None:
    bound = bind_socket(Address.parse("[::1]:0"))
    assert bound.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    bound.close()


def test_datagrams() -> None:
    bound = bind_socket(Address("127.0.0.1", 0), socket.SOCK_DGRAM)
    assert bound.socket.type == socket.SOCK_DGRAM
    assert not bound.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    bound.close()


# ---- local sockets ---------------------------------------------------------------------------


def test_a_local_socket_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "y.sock"
    bound = bind_socket(Address(path=str(path)))
    assert path.is_socket()
    assert str(bound.address) == f"unix:{path}"
    bound.close()
    assert not path.exists()


def test_a_stale_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "y.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    bind_socket(Address(path=str(path))).close()
    assert not path.exists()


def test_a_living_listener_keeps_its_file(tmp_path: Path) -> None:
    address = Address(path=str(tmp_path / "y.sock"))
    first = bind_socket(address)
    first.socket.listen()
    with pytest.raises(OSError, match=str(address)) as caught:
        bind_socket(address)
    assert caught.value.errno == errno.EADDRINUSE
    assert Path(str(address.path)).is_socket()
    first.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="no socket") as caught:
        bind_socket(Address(path=str(path)))
    assert caught.value.errno == errno.EADDRINUSE
    assert os.path.lexists(path)


def test_a_file_that_is_somebody_elses_by_now_is_left(tmp_path: Path) -> None:
    path = tmp_path / "y.sock"
    bound = bind_socket(Address(path=str(path)))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        bound.close()
        assert path.is_socket()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    address = Address(path=str(tmp_path / "none" / "y.sock"))
    with pytest.raises(OSError, match=str(address)) as caught:
        bind_socket(address)
    assert caught.value.errno == errno.ENOENT


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_an_abstract_name_needs_no_file() -> None:
    address = Address(path=f"@yolanda-test-{os.getpid()}")
    bound = bind_socket(address)
    assert bound.address == address
    bound.socket.listen()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0yolanda-test-{os.getpid()}")
    bound.close()


# ---- inherited descriptors -------------------------------------------------------------------


def test_an_inherited_listener() -> None:
    program = (
        "import sys\n"
        "from yolanda.address import Address, bind_socket\n"
        "bound = bind_socket(Address.parse(sys.argv[1]))\n"
        "assert not bound.socket.getblocking() and not bound.socket.get_inheritable()\n"
        "print(bound.address)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        answer = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, f"fd:{fd}"],
            pass_fds=[fd],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_descriptor_that_is_no_socket() -> None:
    with open(os.devnull, "rb") as file:
        with pytest.raises(OSError, match=f"fd:{file.fileno()}") as caught:
            bind_socket(Address(fd=file.fileno()))
        assert caught.value.errno == errno.ENOTSOCK
        file.read()  # still open


def test_a_descriptor_of_another_kind_stays_its_owners() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        with pytest.raises(OSError, match=f"fd:{other.fileno()}") as caught:
            bind_socket(Address(fd=other.fileno()))
        assert caught.value.errno == errno.EPROTOTYPE
        assert other.getsockname() is not None


def test_sockets_for_connecting_do_not_block() -> None:
    with open_socket(socket.AF_INET) as sock:
        assert not sock.getblocking()
        assert not sock.get_inheritable()
