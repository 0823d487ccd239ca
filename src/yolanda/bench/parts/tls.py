"""What TLS costs: requests on connections that stay, and handshakes.

A handshake is measured with a connection, a request and its end.
"""

import functools
import ssl
from pathlib import Path

from yolanda.bench import findings, load, peers, rounds, tools, wrk
from yolanda.bench.contenders import Contender, Server
from yolanda.bench.load import Load
from yolanda.bench.part import Headline, Missing, Part, Plot, Progress, Settings, Table, Where
from yolanda.bench.results import PartResult
from yolanda.bench.rounds import Entry

PEERS = ("nginx", "uvicorn", "granian", "hypercorn")
GET: Where = {"load": "small GET"}
HANDSHAKE: Where = {"load": "handshake, small GET and end"}


def certified(plain: Contender, certificate: str = "", key: str = "") -> Contender:
    """Give a server a certificate, by these options, or as its last two arguments."""

    def command(port: int, folder: Path) -> list[str]:
        files = peers.certificate(folder)
        options = [certificate, files[0], key, files[1]] if key else files
        return [*plain.command(port, folder), *options]

    return Contender(plain.name, command, plain.modules)


def _nginx() -> Contender:
    lines = "ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;"
    plain = peers.nginx(f"{lines} ssl_protocols TLSv1.2 TLSv1.3; {peers.PAGES}", ssl=" ssl")

    def command(port: int, folder: Path) -> list[str]:
        peers.certificate(folder)
        return plain.command(port, folder)

    return Contender(plain.name, command, program=plain.program)


CONTENDERS = (
    _nginx(),
    certified(peers.uvicorn(), "--ssl-certfile", "--ssl-keyfile"),
    certified(peers.granian(), "--ssl-certificate", "--ssl-keyfile"),
    certified(peers.hypercorn(), "--certfile", "--keyfile"),
    certified(
        Contender("yolanda", peers.script("yolanda_http.py"), ("yolanda", "httptools")),
    ),
)


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """See `Part`."""
    lacking = tools.provide("wrk", "openssl", "nginx", install=settings.install)
    if tools.find("wrk") is None or tools.find("openssl") is None:
        raise Missing(lacking)
    result.versions |= {"wrk": wrk.version(), "OpenSSL of Python": ssl.OPENSSL_VERSION}
    loads = [
        Load(GET, functools.partial(wrk.run, scheme="https")),
        Load(HANDSHAKE, functools.partial(load.run_client, module="handshake")),
    ]
    entries = [Entry(contender, loads, prepare) for contender in CONTENDERS]
    rounds.measure(entries, settings, progress, result)


def prepare(server: Server) -> None:
    """Check what is served, and warm the server up."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    wrk.check(server, tls=trusting)
    wrk.warm_up(server, scheme="https")


def find(result: PartResult) -> list[str]:
    """See `Part`."""
    cpu = PART.figure("cpu")
    return [
        sentence
        for where in (GET, HANDSHAKE)
        for sentence in findings.comparison(
            result, cpu, where, str(where["load"]), "yolanda", PEERS
        )
    ]


PART = Part(
    name="tls",
    title="TLS",
    question=(
        "What does encryption add to a request on a connection that stays, and what does a new "
        "connection cost with its handshake? No session is resumed, as with clients that come for "
        "the first time."
    ),
    contenders=tuple(contender.name for contender in CONTENDERS),
    figures=load.figures("request"),
    measure=measure,
    findings=find,
    tables=(Table(("cpu", "rate", "p99", "client_cpu"), "Over TLS", peers=PEERS),),
    plots=(Plot("bars", "cpu", "Server CPU a request over TLS"),),
    headlines=(
        Headline("cpu", GET, "yolanda", "of server CPU for a small GET over TLS", "nginx"),
        Headline("cpu", HANDSHAKE, "yolanda", "of server CPU for a handshake and a GET", "nginx"),
    ),
    seconds=2.0,
    by_default=False,
)
