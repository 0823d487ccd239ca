"""One thread's loop and what it is made of.  It knows descriptors and callbacks, and no TCP."""

from yolanda.reactor.channel import Channel
from yolanda.reactor.channel_map import ChannelMap
from yolanda.reactor.dispatcher import DISPATCHERS, EventDispatcher, make_dispatcher
from yolanda.reactor.event_loop import EventLoop, LoopStatistics
from yolanda.reactor.event_loop_thread import EventLoopThread
from yolanda.reactor.thread_pool import ThreadPool
from yolanda.reactor.timer_queue import Timer

__all__ = [
    "DISPATCHERS",
    "Channel",
    "ChannelMap",
    "EventDispatcher",
    "EventLoop",
    "EventLoopThread",
    "LoopStatistics",
    "ThreadPool",
    "Timer",
    "make_dispatcher",
]
