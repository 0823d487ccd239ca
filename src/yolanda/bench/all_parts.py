"""The parts, in the order in which they are measured and reported."""

from yolanda.bench.part import Part
from yolanda.bench.parts import (
    applications,
    c10k,
    client_check,
    dispatchers,
    hot_path,
    http_peers,
    models,
    sockets,
    static_files,
    tcp_peers,
    tls,
    websocket,
    workers,
)

PARTS: tuple[Part, ...] = (
    dispatchers.PART,
    models.PART,
    c10k.PART,
    http_peers.PART,
    tcp_peers.PART,
    sockets.PART,
    client_check.PART,
    applications.PART,
    tls.PART,
    static_files.PART,
    websocket.PART,
    workers.PART,
    hot_path.PART,
)
