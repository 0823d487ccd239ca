"""Forwarded fields: who is believed, how far, and that nothing malformed is."""

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolanda.address import Address
from yolanda.http import Forwarded, Headers, HttpRequest, HttpResponse, TrustedProxies
from yolanda.http.forwarded import FIELDS, parse_forwarded

PROXY = Address("10.0.0.1", 5555)
X_FIELDS = [name for name in FIELDS if name != "forwarded"]


def resolve(
    fields: list[tuple[str, str]],
    trusted: str = "10.0.0.0/8",
    peer: Address = PROXY,
    believe: list[str] | None = None,
    scheme: str = "http",
) -> Forwarded:
    proxies = TrustedProxies.parse(trusted, believe or X_FIELDS)
    return proxies.resolve_fields(peer, Headers([("Host", "here"), *fields]), scheme)


def client_of(*values: str, trusted: str = "10.0.0.0/8", peer: Address = PROXY) -> Any:
    client = resolve([("X-Forwarded-For", value) for value in values], trusted, peer).client
    return None if client is None else str(client)


def by_forwarded(*values: str, trusted: str = "10.0.0.0/8") -> Forwarded:
    return resolve([("Forwarded", value) for value in values], trusted, believe=["forwarded"])


# ---- who is trusted --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "trusted", "others"),
    [
        ("", [], ["127.0.0.1:1", "unix:/s"]),
        (" , ", [], ["127.0.0.1:1"]),
        ("127.0.0.1", ["127.0.0.1:1"], ["127.0.0.2:1", "[::1]:1", "unix:/s"]),
        ("127.0.0.1, 10.0.0.0/8", ["127.0.0.1:1", "10.255.0.1:1"], ["11.0.0.1:1"]),
        ("10.1.2.3/8", ["10.9.9.9:1"], ["11.0.0.1:1"]),
        ("::1", ["[::1]:1"], ["127.0.0.1:1"]),
        ("2001:db8::/32", ["[2001:db8:1::5]:1"], ["[2001:db9::]:1"]),
        ("fe80::/10", ["[fe80::1%eth0]:1"], ["[::1]:1"]),
        ("unix", ["unix:/s", "unix:@s"], ["127.0.0.1:1"]),
        ("unix:,::1", ["unix:/s", "[::1]:1"], ["127.0.0.1:1"]),
        ("*", ["127.0.0.1:1", "unix:/s", "[2001:db8::]:1"], []),
        ("127.0.0.1", ["[::ffff:127.0.0.1]:1"], ["[::ffff:127.0.0.2]:1", "localhost:1"]),
    ],
)
def test_who_is_trusted(text: str, trusted: list[str], others: list[str]) -> None:
    proxies = TrustedProxies.parse(text)
    for _ in range(2):
        assert all(proxies.trusts(Address.parse(each)) for each in trusted)
        assert not any(proxies.trusts(Address.parse(each)) for each in others)
    assert proxies.trusts(Address(path="")) is ("unix" in text or text == "*")
    assert proxies.trusts(None) is (text == "*")


@pytest.mark.parametrize(
    "text",
    ["localhost", "10.0.0.0/33", "10.0.0", "1.2.3.4:80", "10.0.0.1-9", "/run/s", "**", "::g"],
)
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError, match="is no network") as caught:
        TrustedProxies.parse(f"127.0.0.1,{text}")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (["x-real-ip"], "'x-real-ip' is none of the fields"),
        (["forwarded", "x-forwarded-for"], "either forwarded or x-forwarded-for"),
        (["Forwarded", "X-Forwarded-Host"], "either forwarded or x-forwarded-host"),
    ],
)
def test_fields_that_cannot_be_believed(fields: list[str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TrustedProxies.parse("*", fields)


def test_many_peers_do_not_pile_up() -> None:
    proxies = TrustedProxies.parse("10.0.0.0/8")
    for number in range(3000):
        assert proxies.trusts(Address(f"10.0.{number // 256}.{number % 256}", 1))
    assert len(proxies._networks._known) <= 1024


# ---- X-Forwarded-* ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], "10.0.0.1:5555"),
        (["1.2.3.4"], "1.2.3.4:0"),
        (["1.2.3.4, 10.0.0.2"], "1.2.3.4:0"),
        (["1.2.3.4", "10.0.0.2"], "1.2.3.4:0"),
        (["1.2.3.4,10.0.0.3 ,\t10.0.0.2"], "1.2.3.4:0"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4:0"),  # the left one is what the client wrote
        (["6.6.6.6", "1.2.3.4, 10.0.0.2"], "1.2.3.4:0"),
        (["10.0.0.9, 1.2.3.4"], "1.2.3.4:0"),
        (["127.0.0.1, 1.2.3.4, 10.0.0.2"], "1.2.3.4:0"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),  # all are proxies: the farthest
        (["1.2.3.4:56"], "1.2.3.4:56"),
        (["[2001:db8::1]"], "[2001:db8::1]:0"),
        (["[2001:db8::1]:56"], "[2001:db8::1]:56"),
        (["2001:DB8::1"], "[2001:db8::1]:0"),
        (["::ffff:1.2.3.4"], "1.2.3.4:0"),
        (["::ffff:10.0.0.2"], "10.0.0.2:0"),
        ([", ,1.2.3.4, ,"], "1.2.3.4:0"),
        ([""], "10.0.0.1:5555"),
        # a proxy that does not tell, or what nobody can read
        (["unknown"], None),
        (["1.2.3.4, unknown"], None),
        (["1.2.3.4, unknown, 10.0.0.2"], None),
        (["_hidden"], None),
        (["1.2.3"], None),
        (["1.2.3.4.5"], None),
        (["01.2.3.4"], None),
        (["1.2.3.4:99999"], None),
        (["1.2.3.4:"], None),
        (["1.2.3.4:x"], None),
        (["[1.2.3.4]"], None),
        (["[::1"], None),
        (["fe80::1%eth0"], None),
        (["localhost"], None),
        (["127.0.0.1\x85"], None),
        (["\xb2.2.3.4"], None),
        (["<script>"], None),
        (["garbage, 1.2.3.4"], "1.2.3.4:0"),
        (["1.2.3.4, garbage"], None),
    ],
)
def test_x_forwarded_for(values: list[str], client: str | None) -> None:
    assert client_of(*values) == client


def test_everybody_is_trusted() -> None:
    assert client_of("6.6.6.6, 1.2.3.4", trusted="*") == "6.6.6.6:0"


def test_nobody_is_believed_who_is_not_trusted() -> None:
    stranger = Address("9.9.9.9", 1)
    fields = [
        ("Forwarded", "for=1.2.3.4;proto=https;host=evil"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/evil"),
    ]
    for believe in (X_FIELDS, ["forwarded"]):
        assert resolve(fields, "10.0.0.0/8", stranger, believe) == Forwarded(
            stranger, "http", "here"
        )
    local = Address(path="")
    assert resolve(fields, "*", local).client == Address("1.2.3.4")
    assert resolve(fields, "unix", local).client == Address("1.2.3.4")
    assert resolve(fields, "127.0.0.1", local).client == local


def test_only_what_was_named_is_believed() -> None:
    fields = [
        ("Forwarded", "for=6.6.6.6;proto=https;host=evil"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/evil"),
    ]
    proxies = TrustedProxies.parse("10.0.0.1")
    found = proxies.resolve_fields(PROXY, Headers([("Host", "here"), *fields]))
    assert found == Forwarded(Address("1.2.3.4"), "https", "here", "")
    assert resolve(fields, believe=["X-Forwarded-Host"]) == Forwarded(PROXY, "http", "evil")
    assert resolve(fields, believe=["x-forwarded-prefix"]).prefix == "/evil"
    assert resolve(fields, believe=["forwarded"]) == Forwarded(Address("6.6.6.6"), "https", "evil")


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("wss", "https"),
        ("ws", "http"),
        ("http", "http"),
        ("", "http"),
        ("ftp", "http"),
        ("https, http", "http"),
        ("http, https", "https"),
        ("javascript:", "http"),
    ],
)
def test_x_forwarded_proto(value: str, scheme: str) -> None:
    assert resolve([("X-Forwarded-Proto", value)]).scheme == scheme


def test_a_scheme_that_a_proxy_does_not_tell_is_the_connections() -> None:
    assert resolve([], scheme="https").scheme == "https"
    assert resolve([("X-Forwarded-Proto", "http")], scheme="https").scheme == "http"


def test_what_each_proxy_said_belongs_to_its_client() -> None:
    fields = [
        ("X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.2"),
        ("X-Forwarded-Proto", "ws, https, http"),
        ("X-Forwarded-Host", "evil, www.example.org, inside"),
    ]
    assert resolve(fields) == Forwarded(Address("1.2.3.4"), "https", "www.example.org")


@pytest.mark.parametrize(
    ("host", "port", "scheme", "found"),
    [
        ("example.org", "", "http", "example.org"),
        ("example.org:81", "", "http", "example.org:81"),
        ("example.org", "8080", "http", "example.org:8080"),
        ("example.org", "80", "http", "example.org"),
        ("example.org", "443", "https", "example.org"),
        ("example.org", "443", "http", "example.org:443"),
        ("example.org:81", "82", "http", "example.org:81"),
        ("[2001:db8::1]", "81", "http", "[2001:db8::1]:81"),
        ("", "81", "http", "here:81"),
        ("example.org", "0", "http", "example.org"),
        ("example.org", "65536", "http", "example.org"),
        ("example.org", "9" * 5000, "http", "example.org"),
        ("example.org", "x", "http", "example.org"),
        ("example.org", "\xb2", "http", "example.org"),
        ("evil/path", "", "http", "here"),
        ("user@evil", "", "http", "here"),
        ("evil example", "", "http", "here"),
        ("evil:99999", "", "http", "here"),
        ("evil:x", "", "http", "here"),
        ("[::g]", "", "http", "here"),
        ("[1.2.3.4]", "", "http", "here"),
        ("<b>", "", "http", "here"),
    ],
)
def test_host_and_port(host: str, port: str, scheme: str, found: str) -> None:
    fields = [("X-Forwarded-Host", host), ("X-Forwarded-Port", port)]
    assert resolve(fields, scheme=scheme).host == found


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/app", "/app"),
        ("/app/", "/app"),
        ("/a/b", "/a/b"),
        ("/", ""),
        ("", ""),
        ("app", ""),
        ("//evil", ""),
        ("/a//b", ""),
        ("/a b", ""),
        ("/\\evil", ""),
        ("https://evil/", ""),
        ("/a?b", ""),
        ("/outer, /inner", "/inner"),
    ],
)
def test_x_forwarded_prefix(value: str, prefix: str) -> None:
    assert resolve([("X-Forwarded-Prefix", value)]).prefix == prefix


# ---- Forwarded -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        ("for=1.2.3.4", [{"for": "1.2.3.4"}]),
        ("For=1.2.3.4;PROTO=https", [{"for": "1.2.3.4", "proto": "https"}]),
        ('for="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
        ("for=a, for=b", [{"for": "a"}, {"for": "b"}]),
        ("for=a,,\t, for=b,", [{"for": "a"}, {"for": "b"}]),
        ("for=a;", [{"for": "a"}]),
        (";for=a", [{"for": "a"}]),
        ("for=a ; by=b", [{"for": "a", "by": "b"}]),
        ('for="a,b;c=d"', [{"for": "a,b;c=d"}]),
        ('for="a\\"b\\\\c"', [{"for": 'a"b\\c'}]),
        ('for=""', [{"for": ""}]),
        ("for=_gazonk", [{"for": "_gazonk"}]),
        ("secret=x;for=a", [{"secret": "x", "for": "a"}]),
        ("for", None),
        ("for=", None),
        ("=a", None),
        ("for =a", None),
        ("for= a", None),
        ("for=a b", None),
        ("for=a by=b", None),
        ('for="a', None),
        ('for="a"b', None),
        ('for="a\\', None),
        ("for=[::1]", None),  # brackets stand in quotes
        ("for=1.2.3.4:80", None),  # and so does a colon
        ("for=a;for=b", None),
        ("for=a;FOR=b", None),
        ("for=\xe9", None),
    ],
)
def test_the_form_of_forwarded(text: str, elements: list[dict[str, str]] | None) -> None:
    assert parse_forwarded(text) == elements


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], "10.0.0.1:5555"),
        (["for=1.2.3.4"], "1.2.3.4:0"),
        (['for="1.2.3.4:56"'], "1.2.3.4:56"),
        (['for="[2001:db8::1]"'], "[2001:db8::1]:0"),
        (['For="[2001:db8:cafe::17]:4711"'], "[2001:db8:cafe::17]:4711"),
        (["for=1.2.3.4, for=10.0.0.2"], "1.2.3.4:0"),
        (["for=1.2.3.4", "for=10.0.0.2;by=10.0.0.1"], "1.2.3.4:0"),
        (["for=6.6.6.6, for=1.2.3.4, for=10.0.0.2"], "1.2.3.4:0"),
        (["for=10.0.0.3, for=10.0.0.2"], "10.0.0.3:0"),
        (['for="1.2.3.4:_port"'], "1.2.3.4:0"),
        # hidden
        (["for=unknown"], None),
        (["for=1.2.3.4, for=unknown"], None),
        (["for=_gazonk, for=10.0.0.2"], None),
        (["by=10.0.0.1;proto=https"], None),
        # malformed
        (['for="2001:db8::1"'], None),  # no brackets
        (["for=1.2.3.4;;;=x"], None),
        (['for="1.2.3.4'], None),
        (["garbage"], None),
        ([""], None),
        # What a client has left open does not swallow what its proxy says in a field of its own,
        (['for="', "for=1.2.3.4"], "1.2.3.4:0"),
        # and in the same field nobody is named.
        (['for=6.6.6.6;host=", for=1.2.3.4'], None),
        (['for=6.6.6.6;host=", for="[2001:db8::1]"'], None),
        (["garbage", "for=10.0.0.2"], None),
    ],
)
def test_forwarded(values: list[str], client: str | None) -> None:
    found = by_forwarded(*values).client
    assert (None if found is None else str(found)) == client


def test_forwarded_tells_scheme_and_host() -> None:
    found = by_forwarded(
        'for=6.6.6.6;proto=http;host=evil, for=1.2.3.4;proto=https;host="www.example.org:8443"',
        "for=10.0.0.2;proto=http;host=inside",
    )
    assert found == Forwarded(Address("1.2.3.4"), "https", "www.example.org:8443")
    found = by_forwarded('for=_hidden;proto=HTTPS;host="[2001:db8::1]:81"')
    assert found == Forwarded(None, "https", "[2001:db8::1]:81")
    assert by_forwarded('for=1.2.3.4;proto=ftp;host="a/b"') == Forwarded(
        Address("1.2.3.4"), "http", "here"
    )


# ---- anything --------------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from('for=";,:.[]_\\ 1a'), max_size=40),
    st.lists(
        st.sampled_from(
            [
                "for=1.2.3.4",
                'for="[::1]:1"',
                "for=unknown",
                '"',
                ",",
                ";",
                "proto=https",
                "10.0.0.2",
                "1.2.3.4",
                "by=x",
                " ",
            ]
        ),
        max_size=8,
    ).map("".join),
)


@given(st.lists(st.tuples(st.sampled_from(FIELDS), texts), max_size=6), st.sampled_from("*1u"))
def test_nothing_raises(fields: list[tuple[str, str]], trusted: str) -> None:
    headers = Headers()
    headers._fields += [("host", "here"), *fields]
    for believe in (X_FIELDS, ["forwarded", "x-forwarded-port", "x-forwarded-prefix"]):
        proxies = TrustedProxies.parse({"*": "*", "1": "10.0.0.1", "u": "unix"}[trusted], believe)
        for peer in (PROXY, Address(path=""), Address("::1", 5)):
            found = proxies.resolve_fields(peer, headers)
            assert found.scheme in ("http", "https")
            assert not set("/@<> \r\n\\") & set(found.host)
            assert found.prefix == "" or found.prefix[0] == "/" != found.prefix[1]
            if found.client is not None and found.client is not peer:
                ipaddress.ip_address(found.client.host)
                assert 0 <= found.client.port <= 65535


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@given(
    addresses,
    st.lists(texts.filter(lambda t: t.isascii() and t.isprintable()), max_size=3),
    st.integers(0, 3),
)
def test_whatever_a_client_writes_it_is_found(
    address: str, lies: list[str], hops: int
) -> None:  # fmt: skip
    """The client's own fields stand before what the first proxy adds."""
    client = ipaddress.ip_address(address)
    mapped = getattr(client, "ipv4_mapped", None)
    expected = mapped or client
    proxies = [f"10.0.0.{number + 2}" for number in range(hops)]
    if expected in ipaddress.ip_network("10.0.0.0/8"):
        return
    fields = [("X-Forwarded-For", lie) for lie in lies]
    chain = ", ".join([address, *proxies])
    found = resolve([*fields, ("X-Forwarded-For", chain)])
    assert found.client == Address(str(expected))
    fields = [("Forwarded", lie) for lie in lies]
    quoted = f'"[{address}]"' if ":" in address else address
    fields.append(("Forwarded", ", ".join([f"for={quoted}", *(f"for={p}" for p in proxies)])))
    assert resolve(fields, believe=["forwarded"]).client == Address(str(expected))


# ---- over a connection -----------------------------------------------------------------------


def test_a_request(serve: Callable[..., Any]) -> None:
    trusting = TrustedProxies.parse("127.0.0.1")
    wary = TrustedProxies.parse("10.0.0.1")

    def handler(request: HttpRequest, response: HttpResponse) -> None:
        proxies = trusting if request.path == "/trusting" else wary
        found = proxies.resolve(request, "http")
        assert found.client is not None
        response.text(f"{found.client.host} {found.scheme} {found.host}")

    served = serve(handler)
    fields = ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https")
    assert served.get("/trusting", *fields).text == "1.2.3.4 https test"
    assert served.get("/wary", *fields).text == "127.0.0.1 http test"
    assert served.get("/trusting").text == "127.0.0.1 http test"
