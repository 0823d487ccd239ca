"""Part ``sockets``: what the options of a socket, and the kinds of sockets, do to time and cost.

- Chapter 13 of the course: Nagle's algorithm and delayed acknowledgements wait for each other when
  a request is written in two pieces; one write of both, or ``writev``, needs no option to be fast.
  (It assumes 200 ms; Linux waits for 40.)
- Chapter 5 asks whether large buffers make for more throughput, and reads 1 KiB at a time.
- Chapter 7 says that local sockets are far more efficient than TCP and UDP, also when those stay
  on the same machine.
- ``sendfile`` is not in the course; its question of chapter 5, how often data is copied on its way,
  is the one that it answers.

Server and client are two processes on different cores, with blocking sockets and nothing around
them (`yolanda.bench.exchanges`).  On the loopback interface a packet is delivered in the time of
who sends it: so a sender's processor time holds a part of the receiver's work, and all is faster
than on a network.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from yolanda.bench import cores
from yolanda.bench.exchanges import LOCAL_DATAGRAM, LOCAL_STREAM, TCP, UDP
from yolanda.bench.part import Figure, Headline, Part, Plot, Progress, Settings, Table
from yolanda.bench.probe import PATIENCE, Answer, Probe, ProbeError
from yolanda.bench.report.numbers import condition_text, ratio_text, value_text
from yolanda.bench.results import (
    SERVER_WAITING,
    Condition,
    PartResult,
    Point,
    Sample,
    ratio,
    spread,
)

MODULE = "yolanda.bench.exchanges"

SMALL, PIECES = "a request in two small pieces", "a head and a body"
BUFFERS, TUNED = "buffers of a given size", "buffers as the kernel tunes them"
PING_PONG, STREAM = "ping-pong", "messages one way"
FILE = "files"

WAITING = "two writes"
DELAYED = "two writes, delayed ACK"
QUICK = "two writes, TCP_QUICKACK"
AT_ONCE = "two writes, TCP_NODELAY"
WRITEV, SENDMSG, JOINED = "writev", "sendmsg", "one joined write"
SENDFILE, READ_AND_SEND = "sendfile", "read and send"
KINDS = (TCP, UDP, LOCAL_STREAM, LOCAL_DATAGRAM)
CONTENDERS = (
    *(WAITING, DELAYED, QUICK, AT_ONCE, WRITEV, SENDMSG, JOINED),
    *KINDS,
    *(SENDFILE, READ_AND_SEND),
)

HEAD = 64
ANSWER = 3
BODY_SIZES = (64, 1 << 10, 1 << 13, 1 << 16, 1 << 18)
BUFFER_SIZES = (1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22)
READ_SIZES = (1 << 10, 1 << 14, 1 << 18)
MESSAGE_SIZES = (64, 1 << 9, 1 << 12, 1 << 14, 60 << 10)
FILE_SIZES = (1 << 14, 1 << 20, 1 << 24)
WRITE = 1 << 16
"""Bytes of a write where buffers are compared."""

LATENCY = Figure("latency", "time to the answer", "us", 1e6)
THROUGHPUT = Figure("throughput", "throughput", "MiB/s", 2**-20, 1, less_is_better=False)
CPU_A_MIB = 1e6 * 2**20
CLIENT_CPU = Figure("client_cpu", "client's CPU a request", "us", 1e6)
SENDER_CPU = Figure("sender_cpu", "sender's CPU a MiB", "us", CPU_A_MIB, 1)
RECEIVER_CPU = Figure("receiver_cpu", "receiver's CPU a MiB", "us", CPU_A_MIB, 1)
FIGURES = (
    LATENCY,
    Figure("p99", "99th percentile", "us", 1e6),
    CLIENT_CPU,
    Figure("server_cpu", "server's CPU a request", "us", 1e6),
    Figure("packets", "packets a request", digits=1),
    THROUGHPUT,
    Figure("messages", "messages", "/s", digits=0, less_is_better=False),
    SENDER_CPU,
    RECEIVER_CPU,
    Figure("sender_busy", "sender busy", "%", 100, 0, less_is_better=False),
    Figure("receiver_busy", "receiver busy", "%", 100, 0, less_is_better=False),
    Figure("lost", "lost", "%", 100, 1),
)

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """One contender under one set of conditions: what both ends are asked for.

    ``sample`` makes a sample of what the server and the client answer.
    """

    contender: str
    at: dict[str, Condition]
    serve: tuple[str, Arguments]
    load: tuple[str, Arguments]
    sample: Callable[[Answer, Answer], Sample]
    listen: Arguments = field(default_factory=lambda: {"kind": TCP})


# ---- what is exchanged -------------------------------------------------------------------


def _exchanges(short: bool) -> list[Exchange]:
    """List all, those of one kind after each other, so that contenders are measured in turn."""
    return [
        *_small_requests(),
        *_pieces(_some(BODY_SIZES, short)),
        *_buffers(_some(BUFFER_SIZES, short), _some(READ_SIZES, short)),
        *_kinds(_some(MESSAGE_SIZES, short)),
        *_files(_some(FILE_SIZES[:2] if short else FILE_SIZES, short)),
    ]


def _some(sizes: tuple[int, ...], short: bool) -> tuple[int, ...]:
    return (sizes[0], sizes[-1]) if short else sizes


def _request(
    contender: str,
    at: dict[str, Condition],
    sizes: tuple[int, int],
    way: str,
    *,
    kind: str = TCP,
    nodelay: bool = False,
    ack: str = "kernel",
    answer: int = ANSWER,
) -> Exchange:
    return Exchange(
        contender,
        at,
        ("answer", {"size": sum(sizes), "answer_size": answer, "ack": ack}),
        (
            "ask",
            {"kind": kind, "way": way, "sizes": sizes, "answer_size": answer, "nodelay": nodelay},
        ),
        _sample_of_requests,
        {"kind": kind},
    )


def _small_requests() -> Iterator[Exchange]:
    at: dict[str, Condition] = {"what": SMALL}
    sizes = (HEAD, HEAD)
    yield _request(WAITING, at, sizes, "two writes")
    yield _request(DELAYED, at, sizes, "two writes", ack="delayed")
    yield _request(QUICK, at, sizes, "two writes", ack="quick")
    yield _request(AT_ONCE, at, sizes, "two writes", ack="delayed", nodelay=True)
    yield _request(WRITEV, at, sizes, "writev", ack="delayed")
    yield _request(SENDMSG, at, sizes, "sendmsg", ack="delayed")
    yield _request(JOINED, at, sizes, "joined", ack="delayed")


def _pieces(sizes: Iterable[int]) -> Iterator[Exchange]:
    ways = {AT_ONCE: "two writes", WRITEV: "writev", SENDMSG: "sendmsg", JOINED: "joined"}
    for size in sizes:
        for contender, way in ways.items():
            at: dict[str, Condition] = {"what": PIECES, "size": size}
            yield _request(contender, at, (HEAD, size), way, nodelay=True)


def _buffers(sizes: Iterable[int], read_sizes: tuple[int, ...]) -> Iterator[Exchange]:
    for read_size in read_sizes:
        for size in (0, *sizes):
            at: dict[str, Condition] = {"what": BUFFERS, "buffer_size": size}
            if not size:
                at = {"what": TUNED}
            yield Exchange(
                TCP,
                {**at, "read_size": read_size},
                ("receive", {"read_size": read_size}),
                ("stream", {"kind": TCP, "size": WRITE, "buffer": size}),
                _sample_of_a_stream,
                {"kind": TCP, "buffer": size},
            )


def _kinds(sizes: Iterable[int]) -> Iterator[Exchange]:
    for kind in KINDS:
        yield _request(
            kind, {"what": PING_PONG}, (0, 64), "joined", kind=kind, nodelay=True, answer=64
        )
    for size in sizes:
        for kind in KINDS:
            yield Exchange(
                kind,
                {"what": STREAM, "size": size},
                ("receive", {"read_size": WRITE}),
                ("stream", {"kind": kind, "size": size}),
                _sample_of_a_stream,
                {"kind": kind},
            )


def _files(sizes: Iterable[int]) -> Iterator[Exchange]:
    for size in sizes:
        for contender, how in ((SENDFILE, "sendfile"), (READ_AND_SEND, "read")):

            def sample(server: Answer, client: Answer, size: int = size) -> Sample:
                return _sample_of_files(server, client, size)

            yield Exchange(
                contender,
                {"what": FILE, "size": size},
                ("send_file", {"how": how, "size": size}),
                ("fetch", {"size": size}),
                sample,
            )


# ---- measuring ---------------------------------------------------------------------------


def measure(settings: Settings, progress: Progress, result: PartResult) -> None:
    """Make all exchanges in turn, in each round; see `Part`."""
    exchanges = [
        exchange for exchange in _exchanges(settings.short) if settings.wants(exchange.contender)
    ]
    progress.expect(settings.rounds * len(exchanges))
    server_core, client_core = cores.choose()
    if server_core == client_core:
        result.notes.append("There is one core: server and client share it.")
    patience = PATIENCE + settings.seconds
    with cores.pinned(server_core):
        server = Probe(MODULE, patience)
    with cores.pinned(client_core):
        client = Probe(MODULE, patience)
    with server, client:
        for _ in range(settings.rounds):
            for exchange in exchanges:
                words = [condition_text(name, value) for name, value in exchange.at.items()]
                progress.advance(f"{exchange.contender}: {', '.join(words)}")
                try:
                    sample = _measure(exchange, server, client, settings.seconds, result)
                except ProbeError as error:
                    result.give_up(exchange.contender, exchange.at, str(error))
                else:
                    result.add(exchange.contender, exchange.at, sample)


def _measure(
    exchange: Exchange, server: Probe, client: Probe, seconds: float, result: PartResult
) -> Sample:
    try:
        listening = server.ask("listen", **exchange.listen)
        job, arguments = exchange.serve
        server.tell(job, **arguments)
        job, arguments = exchange.load
        loaded = client.ask(job, address=listening["address"], seconds=seconds, **arguments)
        served = server.hear()
    except ProbeError:
        server.close()  # one end may be waiting for the other: both begin anew
        client.close()
        raise
    wanted = exchange.listen.get("buffer", 0)
    granted = min(listening["buffer"], loaded.get("buffer", wanted))
    if granted < wanted:
        note = (
            f"The kernel grants buffers of {condition_text('size', granted)} at most"
            f" (net.core.rmem_max, wmem_max), not of {condition_text('size', wanted)}."
        )
        if note not in result.notes:
            result.notes.append(note)
    return exchange.sample(served, loaded)


def _disturbance(server: Answer, client: Answer) -> float:
    """Return how long one of the two, whichever was worse off, waited for its core."""
    return max(float(server["waiting"]), float(client["waiting"]))


def _sample_of_requests(server: Answer, client: Answer) -> Sample:
    requests = client["requests"]
    sample = {
        "latency": client["latency"],
        "p99": client["p99"],
        "client_cpu": client["cpu"] / requests,
        "server_cpu": server["cpu"] / requests,
        SERVER_WAITING: _disturbance(server, client),
    }
    if client["packets"]:
        sample["packets"] = client["packets"]
    return sample


def _sample_of_a_stream(server: Answer, client: Answer) -> Sample:
    """Make a sample; what counts is what was received, while it was received."""
    received = server["bytes"]
    if not received or not server["seconds"]:
        raise ProbeError("nothing was received")
    sent = client["messages"] * client["size"]
    return {
        "throughput": received / server["seconds"],
        "messages": received / client["size"] / server["seconds"],
        "sender_cpu": client["cpu"] / sent,
        "receiver_cpu": server["cpu"] / received,
        "sender_busy": client["cpu"] / client["seconds"],
        "receiver_busy": server["cpu"] / server["seconds"],
        "lost": 1 - received / sent,
        SERVER_WAITING: _disturbance(server, client),
    }


def _sample_of_files(server: Answer, client: Answer, size: int) -> Sample:
    sent = client["files"] * size
    return {
        "throughput": sent / client["seconds"],
        "sender_cpu": server["cpu"] / sent,
        "receiver_cpu": client["cpu"] / sent,
        "sender_busy": server["cpu"] / server["seconds"],
        "receiver_busy": client["cpu"] / client["seconds"],
        SERVER_WAITING: _disturbance(server, client),
    }


# ---- what the figures say ----------------------------------------------------------------


def findings(result: PartResult) -> list[str]:
    """Say what the figures show of what the course says."""
    return [
        sentence
        for say in (_nagle, _write_once, _buffer_sizes, _read_sizes, _local_or_not, _sendfile)
        for sentence in say(result)
    ]


def _text(point: Point | None, figure: Figure) -> str:
    """Write the median of a figure, or nothing where there is none."""
    found = spread(point, figure.name)
    return value_text(figure, found.median) if found else ""


def _median(point: Point | None, figure: Figure) -> float:
    found = spread(point, figure.name)
    return found.median if found else 0.0


def _latency(point: Point | None) -> str:
    """Write the median latency, in milliseconds where it is so long."""
    slow = _median(point, LATENCY) >= 1e-3
    return _text(point, replace(LATENCY, unit="ms", scale=1e3) if slow else LATENCY)


def _nagle(result: PartResult) -> Iterator[str]:
    where = {"what": SMALL}
    points = {name: result.find(name, where) for name in CONTENDERS}
    slow = {WAITING: "as the kernels do by themselves", DELAYED: "where ACKs are delayed"}
    at_once = {AT_ONCE: "TCP_NODELAY", WRITEV: "writev", JOINED: "one joined write"}
    waits = [f"{text} {words}" for name, words in slow.items() if (text := _latency(points[name]))]
    others = [
        f"{text} with {words}"
        for name, words in at_once.items()
        if (text := _latency(points[name]))
    ]
    if waits:
        yield f"A request in two small writes is answered after {' and '.join(waits)}."
    if others:
        yield f"The same request is answered after {', '.join(others)}."
    found = ratio(points[DELAYED], points[AT_ONCE], "latency")
    if found is not None:
        shown = found.least > 2
        yield (
            f"With delayed ACK, two writes take {ratio_text(found.median)} as long as with"
            f" TCP_NODELAY: that Nagle's algorithm and delayed ACK wait for each other, as chapter"
            f" 13 says, {'is' if shown else 'is not'} seen."
        )
    found = ratio(points[QUICK], points[AT_ONCE], "latency")
    if found is not None:
        yield (
            f"With a server that acknowledges at once (TCP_QUICKACK), Nagle's algorithm alone makes"
            f" it {ratio_text(found.median)} as long."
        )


def _write_once(result: PartResult) -> Iterator[str]:
    sizes = [size for size in result.values("size") if result.find(WRITEV, _at(PIECES, size))]
    for size in dict.fromkeys([*sizes[:1], *sizes[-1:]]):
        two = result.find(AT_ONCE, _at(PIECES, size))
        said = [
            f"{ratio_text(found.median)} with {name}"
            for name in (WRITEV, SENDMSG, JOINED)
            if (found := ratio(result.find(name, _at(PIECES, size)), two, "client_cpu"))
        ]
        if said:
            yield (
                f"To send a head and a body of {condition_text('size', size)} costs the client"
                f" {', '.join(said)} what two writes (TCP_NODELAY) cost."
            )


def _at(what: str, size: Condition) -> dict[str, Condition]:
    return {"what": what, "size": size}


def _buffer_sizes(result: PartResult) -> Iterator[str]:
    """Tell what larger buffers bring: the question of chapter 5."""
    for read_size in result.values("read_size")[-1:]:
        points = {
            size: point
            for size in sorted(result.values("buffer_size"), key=float)
            if (
                point := result.find(
                    TCP, {"what": BUFFERS, "buffer_size": size, "read_size": read_size}
                )
            )
            and point.samples
        }
        if len(points) < 2:
            continue
        least, most = min(points, key=float), max(points, key=float)
        best = max(_median(point, THROUGHPUT) for point in points.values())
        enough = next(
            size for size, point in points.items() if _median(point, THROUGHPUT) >= 0.9 * best
        )
        yield (
            f"With buffers of {condition_text('size', least)}, TCP carries"
            f" {_text(points[least], THROUGHPUT)}, and {_text(points[most], THROUGHPUT)} with"
            f" {condition_text('size', most)}; nine tenths of the most that any has,"
            f" {value_text(THROUGHPUT, best)}, need {condition_text('size', enough)}."
        )
        tuned = result.find(TCP, {"what": TUNED, "read_size": read_size})
        if own := _text(tuned, THROUGHPUT):
            yield f"With buffers that the kernel tunes by itself it carries {own}."


def _read_sizes(result: PartResult) -> Iterator[str]:
    """Tell what reading 1 KiB at a time costs, as chapter 5 does."""
    sizes = sorted(result.values("read_size"), key=float)
    if len(sizes) < 2:
        return
    small, large = (
        result.find(TCP, {"what": TUNED, "read_size": size}) for size in (sizes[0], sizes[-1])
    )
    found = ratio(small, large, "receiver_cpu")
    if found is not None:
        yield (
            f"To read {condition_text('read_size', sizes[0])} at a time, as chapter 5 does, costs"
            f" the receiver {ratio_text(found.median)} what"
            f" {condition_text('read_size', sizes[-1])} at a time cost:"
            f" {_text(small, RECEIVER_CPU)} a MiB and {_text(large, RECEIVER_CPU)}."
        )


def _local_or_not(result: PartResult) -> Iterator[str]:
    """Tell whether local sockets are far more efficient, as chapter 7 says."""
    turns = {kind: result.find(kind, {"what": PING_PONG}) for kind in KINDS}
    said = [f"{text} with {kind}" for kind in KINDS if (text := _text(turns[kind], LATENCY))]
    if said:
        yield f"64 bytes go to the server and back in {', '.join(said)}."
    cpu = ratio(turns[LOCAL_STREAM], turns[TCP], "client_cpu")
    if cpu is not None:
        yield (
            f"A local stream costs the client {ratio_text(cpu.median)} what TCP does for such a"
            f" message ({cpu.least:.2f} to {cpu.most:.2f}):"
            f" {_judge(cpu.median)}, where chapter 7 says that it is far more efficient."
        )
    sizes = [size for size in result.values("size") if result.find(TCP, _at(STREAM, size))]
    for size in dict.fromkeys([*sizes[:1], *sizes[-1:]]):
        local, tcp = (result.find(kind, _at(STREAM, size)) for kind in (LOCAL_STREAM, TCP))
        found = ratio(local, tcp, "throughput")
        if found is not None:
            joins = found.most < 1 and size == sizes[0]
            why = ", which joins small ones on their way" if joins else ""
            yield (
                f"One way, with messages of {condition_text('size', size)}, a local stream carries"
                f" {ratio_text(found.median)} what TCP does: {_text(local, THROUGHPUT)} and"
                f" {_text(tcp, THROUGHPUT)}{why}."
            )
    yield from _losses(result)


def _losses(result: PartResult) -> Iterator[str]:
    lost = [
        f"{found.median:.0%} of {condition_text('size', size)}"
        for size in result.values("size")
        if (found := spread(result.find(UDP, _at(STREAM, size)), "lost")) and found.median > 0.001
    ]
    if lost:
        yield (
            f"Of UDP's messages there are lost, for nobody tells the sender that the receiver is"
            f" slower: {', '.join(lost)}."
        )


def _judge(cost: float) -> str:
    if cost < 0.67:
        return "far less"
    return "less" if cost < 0.95 else "not less"


def _sendfile(result: PartResult) -> Iterator[str]:
    sizes = [size for size in result.values("size") if result.find(SENDFILE, _at(FILE, size))]
    for size in dict.fromkeys([*sizes[:1], *sizes[-1:]]):
        pair = [result.find(name, _at(FILE, size)) for name in (SENDFILE, READ_AND_SEND)]
        found = ratio(pair[0], pair[1], "sender_cpu")
        if found is not None:
            yield (
                f"A file of {condition_text('size', size)} costs the server"
                f" {ratio_text(found.median)} with sendfile what it costs with read and send"
                f" ({found.least:.2f} to {found.most:.2f})."
            )


# ---- the part ----------------------------------------------------------------------------

PART = Part(
    name="sockets",
    title="What sockets cost",
    question=(
        "What do Nagle's algorithm and delayed ACK do to a request in two pieces (chapter 13), do"
        " larger buffers carry more (chapter 5), and are local sockets far more efficient than TCP"
        " and UDP on the same machine (chapter 7)?"
    ),
    contenders=CONTENDERS,
    figures=FIGURES,
    measure=measure,
    findings=findings,
    conditions={
        "buffer_size": "SO_SNDBUF and SO_RCVBUF",
        "read_size": "bytes a read",
        "size": "bytes",
    },
    headlines=(
        Headline(
            "latency",
            {"what": SMALL},
            DELAYED,
            "until a request in two small writes is answered, if ACKs are delayed",
            AT_ONCE,
        ),
    ),
    plots=(
        Plot(
            "bars",
            "latency",
            "A request in two small pieces",
            where={"what": SMALL},
            log_y=True,
            caption=(
                "Nagle's algorithm holds the second piece back until the first is acknowledged, and"
                " the server's kernel is in no hurry to do that."
            ),
        ),
        Plot(
            "lines",
            "client_cpu",
            "A head and a body: what the client pays",
            x="size",
            where={"what": PIECES},
            log_x=True,
            log_y=True,
            caption="The size is the body's; the head has 64 bytes.",
        ),
        Plot(
            "lines",
            "throughput",
            "TCP by the size of its buffers; a line for each size of reads",
            x="buffer_size",
            series="read_size",
            where={"what": BUFFERS},
            log_x=True,
            caption="SO_SNDBUF and SO_RCVBUF are set to the same size; written are 64 KiB at once.",
        ),
        Plot(
            "bars",
            "latency",
            "64 bytes there and back",
            where={"what": PING_PONG},
            caption="Most of it is the waking of one process by the other.",
        ),
        Plot(
            "lines",
            "throughput",
            "One way, by the size of messages",
            x="size",
            where={"what": STREAM},
            log_x=True,
            log_y=True,
            caption="Counted is what was received: UDP loses what the receiver is too slow for.",
        ),
        Plot(
            "bars",
            "sender_cpu",
            "Files: what the server pays",
            x="size",
            where={"what": FILE},
            caption="The file is in the kernel's cache.",
        ),
    ),
    tables=(
        Table(
            ("latency", "p99", "client_cpu", "server_cpu", "packets"),
            "A request in two small pieces",
            where={"what": SMALL},
            peers=(AT_ONCE,),
        ),
        Table(
            ("latency",),
            "A head and a body, time to the answer",
            columns="size",
            where={"what": PIECES},
        ),
        Table(
            ("client_cpu",),
            "A head and a body, client's CPU",
            columns="size",
            where={"what": PIECES},
        ),
        Table(
            ("throughput",),
            "TCP by the size of buffers (rows) and of reads",
            rows="buffer_size",
            columns="read_size",
            where={"what": BUFFERS},
        ),
        Table(
            ("throughput", "sender_cpu", "receiver_cpu", "sender_busy", "receiver_busy"),
            "TCP with buffers as the kernel tunes them, by the size of reads",
            rows="read_size",
            where={"what": TUNED},
        ),
        Table(
            ("latency", "p99", "client_cpu", "server_cpu"),
            "64 bytes there and back",
            where={"what": PING_PONG},
            peers=(TCP,),
        ),
        Table(("throughput",), "One way, throughput", columns="size", where={"what": STREAM}),
        Table(
            (
                *("messages", "sender_cpu", "receiver_cpu"),
                *("sender_busy", "receiver_busy", "lost"),
            ),
            "One way",
            where={"what": STREAM},
        ),
        Table(
            ("sender_cpu", "receiver_cpu", "throughput", "sender_busy", "receiver_busy"),
            "Files",
            where={"what": FILE},
            peers=(READ_AND_SEND,),
        ),
    ),
    rounds=5,
    seconds=0.5,
    short_rounds=1,
    short_seconds=0.05,
)
