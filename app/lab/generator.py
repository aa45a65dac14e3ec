"""Load for one echo server, from a process of its own: never on the loop that is measured.

    python -m app.lab.generator < a line of JSON (``load.Load``)

prints ``{"event": "ready"}`` when all clients are connected, ``counting`` when the warm-up is over, ``counted``, and,
when the last answers are there, ``{"event": "done", ...}`` (``load.Done``). It ends when its standard input does, so
that it dies with whoever started it.

A closed loop sends a client's next message when its answer is there. An open loop sends at a constant rate, whatever
comes back, and counts an answer from when its message *should* have gone: else a server that stands still would hide
all that waited meanwhile (coordinated omission; wrk2's README).
"""

from __future__ import annotations

import ctypes
import errno
import gc
import heapq
import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.kernel.descriptors import raise_limit
from app.lab.load import Done, Load, NoLoad
from app.lab.tally import TENTH, Tally
from app.lab.used import Used

BUSY = 0.9
"""Share of a processor from which on the generator may have been the limit."""

LATE = 0.001
"""Seconds by which 1 of 100 messages of an open loop may be late before that was the generator's doing."""

SETTLE = 2.0
"""Seconds after the end for which answers are awaited, so that no server is left in the middle of one."""

SLOW_BYTES, SLOW_EVERY = 1024, 0.1

CONNECTS_AT_ONCE = 200
SOURCES = 200
"""Loopback addresses from which connections come that do not last: one has 28,232 ports, each taken for a minute."""

PR_SET_TIMERSLACK = 29  # linux/prctl.h


class _Client:
    __slots__ = ("came", "due", "fd", "got", "messages", "number", "sent", "sock", "to_send", "writes")

    def __init__(self, number: int) -> None:
        self.number = number
        self.messages = 0
        self.came = 0.0
        self.sock: socket.socket | None = None
        self.fd = -1
        self.writes = False  # waits to be able to
        self.to_send = 0  # bytes of messages that are due and not sent
        self.got = 0
        self.due: deque[float] = deque()  # when messages should have gone that are not begun
        self.sent: deque[float] = deque()  # from when those count whose answers are to come


class Generator:
    def __init__(self, load: Load) -> None:
        self.load = load
        self._tally = Tally()
        self._message = b"x" * (load.size - len(load.ending)) + load.ending.encode()[-load.size :]
        self._newlines = bool(load.prefix)
        self._buffer = bytearray(1 << 20)
        self._view = memoryview(self._buffer)
        self._epoll = select.epoll()
        self._clients = [_Client(number) for number in range(load.clients)]
        self._by_fd: dict[int, _Client] = {}
        self._others: list[socket.socket] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._stays = load.churn and load.think > 0
        self._line: deque[_Client] = deque()  # those that stay, the next at the door first
        self._stopping = False

    # The whole

    def connect(self) -> float:
        """Seconds that it took."""
        began = time.perf_counter()
        for client in self._clients:
            self._open(client)
        for _ in range(self.load.silent + self.load.slow):
            self._others.append(self._connected())
        for sock in self._others[self.load.silent :]:
            sock.setblocking(False)
            self._be_slow(sock)
        return time.perf_counter() - began

    def run(self, ended: Callable[[], bool]) -> Done:
        """``ended`` is asked now and then whether whoever wants to know has gone.

        Raises:
            EOFError: it has.
        """
        load, tally, connect_seconds = self.load, self._tally, self.connect()
        _say("ready")
        if load.rate is None:
            for client in self._clients:
                if self._stays:
                    self._come(client)
                    continue
                for _ in range(load.pipeline):
                    self._send(client, time.perf_counter())
        began = time.perf_counter()
        next_due, interval, turn = began, 1 / load.rate if load.rate else 0.0, 0
        warm, end = began + load.warm_up, began + load.warm_up + load.seconds
        cpu_began, counted_from = 0.0, warm
        server_began = Used.by(None)
        looked = began
        while True:
            now = time.perf_counter()
            if not tally.counts and now >= warm:
                cpu_began, counted_from = time.process_time(), now
                server_began = Used.by(load.pid)
                tally.begin(now)
                _say("counting")
            if now >= end:
                break
            if now - looked > TENTH:
                looked = now
                if ended():
                    raise EOFError
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            if interval:
                while next_due <= now:
                    self._send(self._clients[turn], next_due)
                    turn = turn + 1 if turn + 1 < len(self._clients) else 0
                    next_due += interval
            self._wait(now, min(end, warm if not tally.counts else end, next_due if interval else end))
            tally.note_tenth(time.perf_counter())
        seconds = time.perf_counter() - counted_from
        cpu = (time.process_time() - cpu_began) / seconds
        server = Used.by(load.pid).since(server_began)
        _say("counted")
        unsent = 0
        if load.rate:
            unsent = sum(len(client.due) for client in self._clients) + max(0, int((end - next_due) * load.rate))
        self._stop()
        return Done(
            seconds=seconds,
            messages=tally.messages,
            bytes=tally.messages * load.size,
            latency=tally.latency.told(),
            schedule=tally.schedule.told(),
            unsent=unsent,
            errors=dict(tally.errors),
            connect_seconds=connect_seconds,
            cpu=cpu,
            server_cpu=server.seconds,
            switches=server.switches,
            limited=self._limited(cpu),
            by_client=[client.messages for client in self._clients],
            series=tally.series,
            heat=tally.heat,
        )

    def _limited(self, cpu: float) -> str | None:
        late = self._tally.schedule.percentile(0.99)
        if late is not None and late > LATE:
            return f"1 of 100 messages went {late * 1000:.1f} ms late or more"
        if cpu > BUSY:
            return f"the generator used {cpu:.0%} of a processor"
        return None

    def _wait(self, now: float, until: float) -> None:
        """Deal with what is ready, or becomes so by then."""
        if self._timers:
            until = min(until, self._timers[0][0])
        ready = self._epoll.poll(0, 256)
        if not ready:
            left = until - time.perf_counter()
            if left <= 0:
                return
            # epoll_wait counts in whole milliseconds; select(2) does not.
            if self.load.rate is not None or left < 0.01:
                select.select([self._epoll], [], [], left)
                ready = self._epoll.poll(0, 256)
            else:
                ready = self._epoll.poll(min(left, TENTH), 256)
        for fd, events in ready:
            client = self._by_fd.get(fd)
            if client is None:
                continue
            if events & select.EPOLLOUT:
                self._go_on_sending(client)
            if events & ~select.EPOLLOUT and client.fd == fd:
                self._receive(client)

    def _stop(self) -> None:
        """Take what is still to come, and leave."""
        self._stopping = True
        until = time.perf_counter() + SETTLE
        for client in self._clients:
            client.due.clear()
            if not client.sent:  # a server of one client at a time has the next one's turn then
                self._close(client)
        while any(client.sent for client in self._clients) and time.perf_counter() < until:
            self._wait(0.0, time.perf_counter() + TENTH)
        for client in self._clients:
            self._close(client)
        for sock in self._others:
            sock.close()
        self._epoll.close()

    # A client

    def _connected(self, number: int | None = None) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self.load.host else socket.AF_INET)
        try:
            sock.settimeout(5)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if number is not None and self.load.host.startswith("127."):
                with suppress(OSError):  # elsewhere than on Linux there is one loopback address
                    sock.bind((f"127.0.0.{1 + number % SOURCES}", 0))
            sock.connect((self.load.host, self.load.port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _open(self, client: _Client) -> None:
        sock = self._connected(client.number + self._tally.messages if self.load.churn else None)
        sock.setblocking(False)
        client.sock, client.fd = sock, sock.fileno()
        client.got, client.to_send, client.writes = 0, 0, False
        self._by_fd[client.fd] = client
        self._epoll.register(client.fd, select.EPOLLIN)

    def _close(self, client: _Client) -> None:
        if client.sock is not None:
            self._by_fd.pop(client.fd, None)
            with suppress(OSError):
                self._epoll.unregister(client.fd)
            client.sock.close()
            client.sock, client.fd = None, -1

    def _send(self, client: _Client, due: float) -> None:
        """One more message, that should go at that time."""
        client.due.append(due)
        if client.to_send == 0:
            self._begin_messages(client)

    def _begin_messages(self, client: _Client) -> None:
        while client.due and client.to_send == 0 and client.sock is not None:
            if self.load.churn and client.sent:
                return  # one at a time
            due = client.due.popleft()
            now = time.perf_counter()
            if self.load.rate is not None and self._tally.counts:
                self._tally.schedule.record(now - due)
            client.sent.append(due if self.load.rate is not None or self._stays else now)
            client.to_send = len(self._message)
            self._go_on_sending(client)

    def _go_on_sending(self, client: _Client) -> None:
        if client.sock is None or client.to_send == 0:
            return
        try:
            start = len(self._message) - client.to_send
            client.to_send -= client.sock.send(self._message[start:] if start else self._message)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(client, error)
            return
        writes = client.to_send > 0
        if writes != client.writes:
            client.writes = writes
            self._epoll.modify(client.fd, select.EPOLLIN | (select.EPOLLOUT if writes else 0))
        if not writes and client.due:
            self._begin_messages(client)

    def _receive(self, client: _Client) -> None:
        assert client.sock is not None
        try:
            count = client.sock.recv_into(self._view)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(client, error)
            return
        if not count:
            self._fail(client, None)
            return
        if self._newlines:
            answers = self._buffer.count(b"\n", 0, count)
        else:
            answers, client.got = divmod(client.got + count, len(self._message))
        if not answers:
            return
        now = time.perf_counter()
        for _ in range(min(answers, len(client.sent))):
            self._answered(client, now, now - client.sent.popleft())
        if self.load.churn:
            self._close(client)
            if self._stays:
                self._gone(client)
            if not self._stopping:
                self._again(client)

    def _answered(self, client: _Client, now: float, took: float) -> None:
        if self._tally.counts and not self._stopping:
            client.messages += 1
            self._tally.answered(took)
        if self.load.rate is None and not self._stopping and not self.load.churn:
            if self.load.think:
                self._at(now + self.load.think, lambda: self._send(client, time.perf_counter()))
            else:
                self._send(client, now)

    def _come(self, client: _Client) -> None:
        """One that stays for a while, from when it is let in: by a server of one at a time, when all before it went."""
        client.came = time.perf_counter()
        self._line.append(client)
        if not self.load.one_at_a_time or self._line[0] is client:
            self._let_in(client)

    def _let_in(self, client: _Client) -> None:
        came = client.came

        def says() -> None:
            if client.sock is not None and client.came == came:
                self._send(client, came)

        self._at(time.perf_counter() + self.load.think, says)

    def _gone(self, client: _Client) -> None:
        with suppress(ValueError):
            first = self._line[0] is client
            self._line.remove(client)
            if first and self.load.one_at_a_time and self._line:
                self._let_in(self._line[0])

    def _again(self, client: _Client) -> None:
        """A new connection for the next message."""
        try:
            self._open(client)
        except OSError as error:
            self._tally.errors[_kind(error)] += 1
            self._at(time.perf_counter() + TENTH, lambda: self._again(client))
            return
        if self.load.rate is not None:
            self._begin_messages(client)
        elif self._stays:
            self._come(client)
        else:
            self._send(client, time.perf_counter())

    def _fail(self, client: _Client, error: OSError | None) -> None:
        """Its connection is gone: that is counted, and another one is opened."""
        if not self._stopping:
            self._tally.errors["the server hung up" if error is None else _kind(error)] += 1
        client.sent.clear()
        self._close(client)
        if self._stays:
            self._gone(client)
        if not self._stopping:
            self._at(time.perf_counter() + TENTH, lambda: self._again(client))

    def _be_slow(self, sock: socket.socket) -> None:
        """Sends all it can, and reads a little now and then: its server has to do something with what is left."""
        try:
            with suppress(BlockingIOError):
                sock.recv(SLOW_BYTES)
            with suppress(BlockingIOError):
                sock.send(self._message)
        except OSError as error:
            self._tally.errors[f"slow: {_kind(error)}"] += 1
            return
        self._at(time.perf_counter() + SLOW_EVERY, lambda: self._be_slow(sock))

    def _at(self, when: float, do: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, do))


def _say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201


def _kind(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def main() -> int:
    """Exit status 1 with ``{"event": "failed", "reason": ...}`` where it cannot do its work."""
    line = sys.stdin.buffer.readline()

    def ended() -> bool:
        return bool(select.select([0], [], [], 0)[0]) and not os.read(0, 1)

    with suppress(OSError, ValueError):
        raise_limit()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    gc.collect()
    gc.disable()
    try:
        done = Generator(Load.read(line)).run(ended)
    except (NoLoad, OSError) as reason:
        _say("failed", reason=str(reason))
        return 1
    except (EOFError, KeyboardInterrupt):
        return 1
    _say("done", **done._asdict())
    return 0


if __name__ == "__main__":
    sys.exit(main())
