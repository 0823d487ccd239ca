"""private-networks: the arithmetic against what the course says, and against odd input."""

import ipaddress

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from yolanda.labs.stage import Stage
from yolanda.programs.chapter02 import private_networks as program


def rows(*blocks: str) -> dict[str, str]:
    """What the program says of a block, by the name of the row."""
    result = CliRunner().invoke(program.main, blocks)
    assert result.exit_code == 0, result.output
    return {line[2:15].strip(): line[16:] for line in result.output.splitlines() if line[0] == " "}


def test_the_tables() -> None:
    output = CliRunner().invoke(program.main).output
    for size, classes in [
        (16777216, "a class A network"),
        (1048576, "16 class B networks, 172.16.0.0/16 to 172.31.0.0/16"),
        (65536, "256 class C networks, 192.168.0.0/24 to 192.168.255.0/24"),
    ]:
        assert f"{size} addresses: {classes}\n" in output
    for line in ("A  begins with 0       0 to 127", "C  begins with 110   192 to 223"):
        assert line in output


@pytest.mark.parametrize("text", ["192.0.2.12/30", "192.0.2.12/255.255.255.252"])
def test_a_prefix_and_a_netmask_say_the_same(text: str) -> None:
    said = rows(text)
    assert said["netmask"] == "255.255.255.252  11111111.11111111.11111111.11111100"
    assert said["network part"] == "192.0.2.12 (bits: 30)"
    assert said["addresses"] == "4, 192.0.2.12 to 192.0.2.15"
    assert said["for hosts"] == "2, 192.0.2.13 to 192.0.2.14"
    assert said["class"] == "a part of the class C network 192.0.2.0/24"
    assert said["purpose"] == "documentation (RFC 5737)"


@pytest.mark.parametrize(
    ("block", "row", "expected"),
    [
        ("192.168.1.77/24", "network part", "192.168.1.0 (bits: 24)"),
        ("192.168.1.77/24", "host part", "0.0.0.77 (bits: 8)"),
        ("10.0.0.1/31", "for hosts", "2, 10.0.0.0 to 10.0.0.1"),
        ("10.0.0.1/32", "for hosts", "1, 10.0.0.1"),
        ("224.0.0.1", "for hosts", "none: a multicast address names a group"),
        ("172.16.0.0/12", "class", "16 class B networks, 172.16.0.0/16 to 172.31.0.0/16"),
        ("224.0.0.1", "class", "D"),
        ("250.1.2.3", "class", "E"),
        ("0.0.0.0/0", "class", "from A to E"),
        ("172.31.255.255/32", "purpose", "private (RFC 1918)"),
        ("172.32.0.0/32", "purpose", "none of its own: public"),
        ("127.0.0.1", "purpose", "loopback (RFC 1122)"),
        ("169.254.1.1/16", "purpose", "link-local (RFC 3927)"),
        ("10.0.0.0/7", "purpose", "in a part of it, 10.0.0.0/8: private (RFC 1918)"),
        ("fe80::1%eth0", "network part", "fe80:: (bits: 64)"),
        ("fe80::1%eth0/10", "network part", "fe80:: (bits: 10)"),
        ("fe80::1", "purpose", "link-local (RFC 4291)"),
        ("fd00::1", "purpose", "private: unique local (RFC 4193)"),
        ("ff02::1", "purpose", "multicast (RFC 4291)"),
        ("::1", "addresses", "1, ::1 to ::1"),
        ("2001:db8::/32", "addresses", f"{2**96}, 2001:db8:: to 2001:db8:{':'.join(6 * ['ffff'])}"),
        ("2600::1", "purpose", "none of its own: public"),
    ],
)
def test_a_row(block: str, row: str, expected: str) -> None:
    assert rows(block)[row] == expected


def test_what_was_taken_for_granted_is_said() -> None:
    output = CliRunner().invoke(program.main, ["10.1.2.3", "10.1.2.3/9"]).output
    assert "10.1.2.3 (no prefix is given: /8 is taken)\n" in output
    assert "\n10.1.2.3/9\n" in output


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_the_parts_make_the_whole(address: ipaddress.IPv4Address, prefix: int) -> None:
    said = rows(f"{address}/{prefix}")
    network, host = (
        int(ipaddress.ip_address(said[f"{part} part"].split()[0])) for part in ("network", "host")
    )
    assert network | host == int(address)
    assert network & host == 0
    assert host < int(said["addresses"].split(",")[0]) == 2 ** (32 - prefix)


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3",
        "1.2.3.4/33",
        "1.2.3.4/",
        "1.2.3.4/0.0.0.255",
        "1.2.3.4/255.0.255.0",
        "010.0.0.1",
        "::1/129",
        "::1/ffff::",
        "a/b/c",
        "地址",
        "",
    ],
)
def test_what_is_no_block_is_one_line(text: str, stage: Stage) -> None:
    program = stage.start("private-networks", text)
    program.expect_exit(2)
    assert len(program.lines) == 1
    assert program.lines[0].startswith("yolanda: error: Invalid value for ADDRESS: ")
