import pytest

from yolanda.address import Address
from yolanda.networks import Networks


@pytest.mark.parametrize(
    ("networks", "host", "inside"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.0/8, 192.168.1.0/24", "10.255.0.1", True),
        ("10.0.0.0/8, 192.168.1.0/24", "192.168.2.1", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("::1", "127.0.0.1", False),
        ("*", "203.0.113.7", True),
        ("unix", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("127.0.0.1", "localhost", False),
    ],
)
def test_who_is_inside(networks: str, host: str, inside: bool) -> None:
    parsed = Networks.parse(networks)
    for _ in range(2):  # the second answer is remembered
        assert (Address(host, 80) in parsed) is inside


def test_local_sockets_and_the_unknown() -> None:
    local = Address(path="/run/y.sock")
    assert local in Networks(["unix"])
    assert local in Networks(["unix:"])
    assert local in Networks("*")
    assert local not in Networks(["127.0.0.1"])
    assert None in Networks("*")
    assert None not in Networks(["0.0.0.0/0", "unix"])


def test_what_is_remembered_is_bounded() -> None:
    networks = Networks(["10.0.0.0/8"])
    for number in range(5000):
        assert Address(f"10.0.{number >> 8}.{number & 255}", 1) in networks
    assert len(networks._known) <= 1024


@pytest.mark.parametrize("text", ["localhost", "10.0.0.0/33", "10.0.0", "unix:/run/y.sock", "**"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no network") as caught:
        Networks(["127.0.0.1", text])
    assert repr(text) in str(caught.value)
