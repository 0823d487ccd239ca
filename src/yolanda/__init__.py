"""Yolanda: a reactor for Python, and an HTTP server on top of it.

Everything an application needs is here or in `yolanda.http`; modules are where their names say.
"""

import importlib
from typing import TYPE_CHECKING, Any

from yolanda.address import Address, AddressError, bind_socket
from yolanda.buffer import Buffer
from yolanda.networks import Networks
from yolanda.reactor.channel import Channel
from yolanda.reactor.channel_map import ChannelMap
from yolanda.reactor.dispatcher import EventDispatcher
from yolanda.reactor.event_loop import EventLoop, LoopStatistics
from yolanda.reactor.event_loop_thread import EventLoopThread
from yolanda.reactor.thread_pool import ThreadPool
from yolanda.reactor.timer_queue import Timer
from yolanda.transport.acceptor import Acceptor
from yolanda.transport.backoff import Backoff
from yolanda.transport.datagram import DatagramEndpoint
from yolanda.transport.tcp_client import TcpClient
from yolanda.transport.tcp_connection import ConnectionState, TcpConnection
from yolanda.transport.tcp_server import ConnectionHandler, TcpServer
from yolanda.transport.tls_settings import (
    Certificate,
    ClientTls,
    ServerTls,
    TlsInfo,
    TlsSettingsError,
)
from yolanda.transport.worker_pool import WorkerPool

if TYPE_CHECKING:
    from yolanda.apps.serve import serve

__version__ = "0.1.0"

__all__ = [
    "Acceptor",
    "Address",
    "AddressError",
    "Backoff",
    "Buffer",
    "Certificate",
    "Channel",
    "ChannelMap",
    "ClientTls",
    "ConnectionHandler",
    "ConnectionState",
    "DatagramEndpoint",
    "EventDispatcher",
    "EventLoop",
    "EventLoopThread",
    "LoopStatistics",
    "Networks",
    "ServerTls",
    "TcpClient",
    "TcpConnection",
    "TcpServer",
    "ThreadPool",
    "Timer",
    "TlsInfo",
    "TlsSettingsError",
    "WorkerPool",
    "__version__",
    "bind_socket",
    "serve",
]


def __getattr__(name: str) -> Any:
    """Import `serve` when it is asked for: it brings asyncio along, which the rest does without."""
    if name == "serve":
        return importlib.import_module("yolanda.apps.serve").serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
