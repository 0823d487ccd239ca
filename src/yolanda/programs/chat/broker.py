"""One chat room in several processes, on one machine or on many, joined by a broker (NATS).

Each process tells the others what its guests do, and with each word how often its list of guests
has changed so far.  One who finds that it has missed a change asks for the whole list, so what is
lost on the way is made good within a beat.  A process that is not heard for `MISSED` beats is taken
for dead, and its guests have left.

A name has one holder, as well as that can be had without asking everybody first: a guest gets a
name that nobody is known to have.  If two got the same one at the same moment, or while their
processes were apart, all processes see the same two and judge alike: who has had it for longer
keeps it, and the other is called by it with a number.  ("Longer" is by the clocks of the machines;
if they differ, the judgement may be unfair, and is still one.)

What is said while the broker is out of reach is not sent later: guests are told that nobody else
hears them.  The processes believe each other; who is not to be believed is to be kept from the
broker.
"""

import asyncio
import json
import logging
import secrets
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yolanda import Backoff
from yolanda.programs.chat.news import BadNews, decode_news, decode_whisper
from yolanda.programs.chat.room import (
    APART,
    FAREWELL,
    LONGEST_NAME,
    Event,
    Guest,
    Room,
    joined,
    key_of,
    left,
    notice,
    renamed,
    said,
    say,
    whisper_heard,
    whispered,
)

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

log = logging.getLogger("yolanda.chat")

BEAT = 1.0
"""Seconds between two signs of life."""

MISSED = 5
"""Beats without one from a process, after which it is taken for dead."""

PATIENCE = 5.0
"""Seconds that the broker has to take us in, and another process to pass on a whisper."""

MOST_WAITING = 10_000
"""Messages that may wait for a slow broker; more are lost."""

RETRY = Backoff(first=0.25, longest=5.0)


@dataclass
class Process:
    """Another process, as far as it is known."""

    guests: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By the name's key: the name, and since when it is its holder's."""
    revision: int = -1
    """How often its list had changed when this was so; -1: nothing is known yet."""
    missed: int = 0
    """Beats since it was heard."""
    asked: bool = False
    """Whether it was asked for its list in this beat."""

    @property
    def names(self) -> list[str]:
        """Of its guests."""
        return [name for name, _ in self.guests.values()]


class Broker:
    """What makes rooms one: the `Elsewhere` of ``room``.

    - ``urls``: where the broker is, ``nats://HOST:PORT``, or several that are one;
    - ``channel``: a name that the processes have in common.

    Raises `ImportError` if the library nats-py is missing.  It belongs to the thread of the asyncio
    loop in which `run` is, and of the room.
    """

    def __init__(self, room: Room, urls: Sequence[str], channel: str) -> None:
        try:
            import nats.aio.client
        except ImportError as error:
            raise ImportError(
                "a broker needs the library nats-py: pip install 'yolanda[nats]'"
            ) from error
        self._make_client = nats.aio.client.Client
        self._room = room
        self._urls = list(urls)
        self._shown = ", ".join(map(without_password, urls))
        self._subject = f"yolanda.chat.{channel}"
        self._id = secrets.token_hex(8)
        self._revision = 0
        self._processes: dict[str, Process] = {}
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._client: Client | None = None  # while the broker is within reach
        self._whispers: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly
        room.elsewhere = self

    # ---- life ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the rooms together until it is cancelled."""
        failures = 0
        while True:
            lost = asyncio.Event()
            try:
                async with asyncio.timeout(PATIENCE):
                    client = await self._connect(lost)
            except OSError as error:  # a time-out is one, which says nothing
                failures += 1
                wait = RETRY.delay(failures) or 0.0
                why = str(error) or f"no answer within {PATIENCE:g} s"
                log.warning("broker %s: %s; next try in %.1f s", self._shown, why, wait)
                await asyncio.sleep(wait)
                continue
            failures = 0
            try:
                await self._take_part(client, lost)
            finally:
                self._client = None
                await client.close()
            self._fall_apart()

    async def _connect(self, lost: asyncio.Event) -> "Client":
        """Return a client that hears the others; raise `OSError` saying what is wrong.

        The client's own way to connect again would send what was said meanwhile, when those who
        said it have been told that nobody hears them.  So each client is for one connection.
        """
        import nats.errors

        client = self._make_client()
        problems: list[Exception] = []

        async def on_error(error: Exception) -> None:
            problems.append(error)
            if client is self._client:
                log.warning("broker %s: %s", self._shown, error)

        async def on_closed() -> None:
            lost.set()

        try:
            await client.connect(
                self._urls,
                name="yolanda chat",
                no_echo=True,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                ping_interval=5,
                error_cb=on_error,
                closed_cb=on_closed,
            )
            await client.subscribe(self._subject, cb=self._guarded(self._handle_news))
            private = f"{self._subject}.{self._id}"
            await client.subscribe(private, cb=self._guarded(self._handle_whisper))
            await client.flush()  # only now it is sure that nothing is missed
        except (OSError, nats.errors.Error) as error:
            await client.close()
            raise ConnectionError(str(problems[-1] if problems else error)) from error
        except asyncio.CancelledError:
            await client.close()
            raise
        return client

    async def _take_part(self, client: "Client", lost: asyncio.Event) -> None:
        """Talk with the others until the broker is lost."""
        self._outbox = asyncio.Queue(MOST_WAITING)
        self._client = client
        say(f"joined the rooms at {self._shown}")
        self._room.tell(Event("* the other rooms are within reach", "together"))
        self._tell_list()
        self._tell("list?")
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(self._send(client)), tasks.create_task(self._beat())]
            try:
                await lost.wait()
            finally:
                for task in others:
                    task.cancel()

    async def leave(self) -> None:
        """Tell the others that this process ends; what waits to be sent goes before it."""
        import nats.errors

        if self._client is None:
            return
        self._tell("gone")
        client, self._client = self._client, None  # nothing is told after that
        try:
            async with asyncio.timeout(FAREWELL):
                while not self._outbox.empty():
                    await client.publish(self._subject, self._outbox.get_nowait())
                await client.flush()
        except (OSError, nats.errors.Error) as error:
            log.warning("broker %s: %s", self._shown, error or type(error).__name__)

    async def _send(self, client: "Client") -> None:
        import nats.errors

        while True:
            data = await self._outbox.get()
            try:
                await client.publish(self._subject, data)
            except (OSError, nats.errors.Error) as error:
                log.warning("broker %s: a message is lost: %s", self._shown, error)

    async def _beat(self) -> None:
        """Give signs of life, and miss those of others.

        Beats are counted, not seconds: a process that was stopped for a while, and hears only now
        what has come meanwhile, takes nobody for dead.
        """
        while True:
            self._tell("beat", revision=self._revision)
            await asyncio.sleep(BEAT)
            for number, process in list(self._processes.items()):
                process.asked = False
                process.missed += 1
                if process.missed > MISSED:
                    say(f"process {number} is lost")
                    self._lose(number, "their server is lost")

    def _fall_apart(self) -> None:
        """The broker is lost, and all other processes with it, for now."""
        names = list(self.names())
        self._processes.clear()
        say(f"lost the rooms at {self._shown}")
        self._room.tell(Event(f"* {APART}", "apart", names=names))

    # ---- what the room asks --------------------------------------------------------------

    @property
    def apart(self) -> bool:
        """Whether the broker is out of reach."""
        return self._client is None

    def names(self) -> Iterable[str]:
        """Who is there."""
        return (name for process in self._processes.values() for name in process.names)

    def find(self, name: str) -> str | None:
        """Who is there under ``name``, however it is written."""
        number = self._process_of(name)
        return None if number is None else self._processes[number].guests[key_of(name)][0]

    def entered(self, guest: Guest) -> None:
        """A guest has a name."""
        self._revision += 1
        self._tell("joined", name=guest.name, since=guest.named_at, revision=self._revision)

    def renamed(self, guest: Guest, before: str) -> None:
        """A guest has another name."""
        self._revision += 1
        self._tell(
            "renamed",
            before=before,
            name=guest.name,
            since=guest.named_at,
            revision=self._revision,
        )

    def left(self, guest: Guest) -> None:
        """A guest is gone."""
        self._revision += 1
        self._tell("left", name=guest.name, reason=guest.reason, revision=self._revision)

    def said(self, guest: Guest, text: str) -> None:
        """A guest talks to all."""
        self._tell("said", name=guest.name, text=text)

    def whisper(self, guest: Guest, name: str, text: str) -> None:
        """A guest talks to ``name`` alone: nobody but its process is told."""
        task = asyncio.get_running_loop().create_task(self._pass_on(guest, name, text))
        self._whispers.add(task)
        task.add_done_callback(self._whispers.discard)

    async def _pass_on(self, guest: Guest, name: str, text: str) -> None:
        import nats.errors

        number = self._process_of(name)
        client = self._client
        heard = False
        if number is not None and client is not None:
            words = {"sender": guest.name, "recipient": name, "text": text}
            try:
                answer = await client.request(
                    f"{self._subject}.{number}", json.dumps(words).encode(), timeout=PATIENCE
                )
                heard = answer.data == b"heard"
            except (OSError, nats.errors.Error) as error:  # nobody answers, or not in time
                log.info("a whisper to process %s: %s", number, error)
        name = self.find(name) or name
        if not guest.leaving:
            unheard = notice(f"{name} cannot be reached, and has not heard this: {text}")
            guest.hear(whisper_heard(name, text) if heard else unheard)

    # ---- what the others say -------------------------------------------------------------

    def _guarded(self, handle: Callable[["Msg"], Awaitable[None]]) -> Any:
        """Ignore what no chat room says, with a line in the log."""

        async def guard(message: "Msg") -> None:
            try:
                await handle(message)
            except BadNews as error:
                log.warning(
                    "broker %s: ignored a message on %s: %s", self._shown, message.subject, error
                )

        return guard

    async def _handle_whisper(self, message: "Msg") -> None:
        words = decode_whisper(message.data)
        guest = self._room.guests.get(key_of(words["recipient"]))
        if guest is not None:
            guest.hear(whispered(words["sender"], words["text"]))
        if message.reply:
            await message.respond(b"nobody" if guest is None else b"heard")

    async def _handle_news(self, message: "Msg") -> None:
        news = decode_news(message.data)
        number, kind = news["process"], news["kind"]
        if number == self._id:
            raise BadNews(f"another process says that it is this one, {number}")
        process = self._processes.get(number)
        if kind == "gone":
            self._lose(number, "their server has stopped")
            return
        if process is None:
            process = self._processes[number] = Process()
        process.missed = 0
        match kind:
            case "said":
                self._room.tell(said(news["name"], news["text"]))
            case "list?":
                self._tell_list()
            case "your list?":
                if news["of"] == self._id:
                    self._tell_list()
            case "list":
                self._learn(process, news["guests"], news["revision"])
            case "beat":
                if process.revision != news["revision"]:
                    self._ask(number, process)
            case _ if process.revision + 1 == news["revision"] and process.revision >= 0:
                process.revision += 1
                self._follow(process, news)
            case _ if process.revision != news["revision"]:
                self._ask(number, process)
        if kind in ("joined", "renamed", "list"):
            self._settle(number, process)

    def _learn(self, process: Process, guests: list[tuple[str, float]], revision: int) -> None:
        """Take over a whole list, and tell the guests here what is new to them."""
        before = process.guests
        process.guests = {key_of(name): (name, since) for name, since in guests}
        process.revision = revision
        gone = [name for key, (name, _) in before.items() if key not in process.guests]
        new = [name for key, (name, _) in process.guests.items() if key not in before]
        if gone:
            self._room.tell(left(gone))
        if new:
            self._room.tell(joined(new))

    def _follow(self, process: Process, news: dict[str, Any]) -> None:
        """Make the change that a process has told."""
        match news["kind"]:
            case "joined":
                process.guests[key_of(news["name"])] = (news["name"], news["since"])
                self._room.tell(joined([news["name"]]))
            case "left":
                process.guests.pop(key_of(news["name"]), None)
                self._room.tell(left([news["name"]], news["reason"]))
            case "renamed":
                process.guests.pop(key_of(news["before"]), None)
                process.guests[key_of(news["name"])] = (news["name"], news["since"])
                self._room.tell(renamed(news["before"], news["name"]))

    def _settle(self, number: str, process: Process) -> None:
        """Find names that have a holder here and one there, and let go of those that are theirs."""
        room = self._room
        for key in process.guests.keys() & room.guests.keys():
            guest = room.guests[key]
            name, since = process.guests[key]
            if (since, number) < (guest.named_at, self._id):
                other = self._with_number(guest.name)
                guest.hear(notice(f"{name} was there before you, elsewhere; /nick for a new name"))
                room.rename(guest, other)

    def _with_number(self, name: str) -> str:
        for count in range(2, 10**6):
            number = f"-{count}"
            candidate = name[: LONGEST_NAME - len(number)] + number
            if self._room.find(candidate) is None:
                return candidate
        raise AssertionError("a million guests of one name")

    def _lose(self, number: str, reason: str) -> None:
        process = self._processes.pop(number, None)
        if process is not None and process.guests:
            self._room.tell(left(process.names, reason))

    def _process_of(self, name: str) -> str | None:
        """Where the holder of ``name`` is; the first one, while two processes settle it."""
        key = key_of(name)
        holders = [
            (process.guests[key][1], number)
            for number, process in self._processes.items()
            if key in process.guests
        ]
        return min(holders)[1] if holders else None

    # ---- telling -------------------------------------------------------------------------

    def _ask(self, number: str, process: Process) -> None:
        if not process.asked:
            process.asked = True
            self._tell("your list?", of=number)

    def _tell_list(self) -> None:
        guests = [(guest.name, guest.named_at) for guest in self._room.guests.values()]
        self._tell("list", guests=guests, revision=self._revision)

    def _tell(self, kind: str, **fields: object) -> None:
        if self._client is None:
            return
        try:
            self._outbox.put_nowait(
                json.dumps({"process": self._id, "kind": kind, **fields}).encode()
            )
        except asyncio.QueueFull:
            log.warning("broker %s: too slow, a message is lost", self._shown)


def check_url(url: str) -> None:
    """`ValueError` unless ``url`` says where a broker is."""
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0
    except ValueError:  # of the port
        right = False
    if not right:
        raise ValueError(f"{url!r} is not of the form nats://HOST:PORT")


def without_password(url: str) -> str:
    """Return ``url`` as it may be shown."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
