"""A terminal: what the page sends goes to the server, what the server sends goes to the page, and each end gets to know
how the other one ends.

Messages besides bytes are in ``subprotocol``. Without it all is bytes, text too, and the server's FIN is the end.

Nothing piles up. While the page does not take what was written, what comes is joined, up to ``CAP``, and then no more
is read from the server; nor while ``CREDIT`` bytes are not shown yet. While the server does not take what the page
sent, the page is not read from. The two could wait for each other: the credit that would let the server write, and then
read, lies behind bytes that it does not read. So what the page has sent ahead of its credit is taken in, up to
``MOST_AHEAD``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.terminals import close_codes
from app.terminals.close_codes import Verdict
from app.terminals.page_end import PageEnd
from app.terminals.server_end import INBOX, ServerEnd
from app.terminals.subprotocol import CREDIT, INVALID_MESSAGE, decode, encode

CAP = MOST_UNSENT = CREDIT
MOST_AHEAD = 16 * 1_048_576
TAKEN_STEP = 65_536
SECONDS_HALF_OPEN = 300.0
"""The server has ended, or waits for credit that waits for it, and the page does nothing."""


class Bridge:
    """``verdict`` says why the server is being stopped; None while it is not.

    ``tells_taken``: the page asked to be told how much of what it sent was taken, so as not to send too far ahead.
    ``over`` is done when both ends are, and ``stalled`` says whether the page was dropped for taking nothing.
    """

    page: PageEnd

    def __init__(self, v1: bool, verdict: Callable[[], Verdict | None], tells_taken: bool = False) -> None:
        self.stalled = False
        self._v1 = v1
        self._tells_taken = v1 and tells_taken
        self._from_page = self._told_taken = 0
        self._verdict = verdict
        self._server: ServerEnd | None = None
        self._joined = bytearray()
        self._outstanding = 0
        self._connection: str | None = None
        self._page_ended = False
        self._server_ended = False
        self._loop = asyncio.get_running_loop()
        self._half_open: asyncio.TimerHandle | None = None
        self._stirred = False
        self._gone = False
        self.over: asyncio.Future[None] = self._loop.create_future()

    # How it begins

    def refuse(self, verdict: Verdict) -> None:
        """There is no server to talk to."""
        self.page.close(verdict)
        self.page.resume()

    def open(self, end: ServerEnd, about: dict[str, str]) -> None:
        """There is; ``about`` says which, for the page."""
        self._server = end
        more: dict[str, Any] = {"taken": 0} if self._tells_taken else {}  # an app of an earlier version cannot tell it
        self._send_message("opened", **about, credit=CREDIT, **more)
        if self._connection is not None:
            self._send_message("accepted", connection=self._connection)
        self._make_room()
        if self._gone:
            end.leave()
        else:
            self.page.resume()

    def accepted(self, connection: str) -> None:
        """The server let it in, as this connection."""
        self._connection = connection
        if self._server is not None:
            self._send_message("accepted", connection=connection)

    def abort(self) -> None:
        """End it here and now."""
        self.page.abort()
        if self._server is not None:
            self._server.close()

    # What the page does (``page_end.PageListener``)

    def bytes_from_page(self, data: bytes) -> None:
        self._stirred = True
        if self._page_ended and self._v1:
            self._send_message("error", message="Bytes that come after eof are not sent.")
        elif self._server is not None:
            self._from_page += len(data)
            self._server.send(data)
            self._tell_taken()

    def text_from_page(self, text: str) -> None:
        if not self._v1:
            self.bytes_from_page(text.encode())
            return
        self._stirred = True
        match decode(text):
            case int(count):
                self._credit(count)
            case "eof":
                self._page_ended = True
                if self._server is not None:
                    self._server.finish()
                if self._server_ended:
                    self._close(close_codes.BOTH_DONE)
            case None:
                self._send_message("error", message=INVALID_MESSAGE)

    def drained(self) -> None:
        self._flush()
        self._make_room()

    def left(self) -> None:
        self._page_ended = True
        self._forget_half_open()
        self._joined.clear()
        if self._server is not None:
            self._server.leave()

    def gone(self, stalled: bool) -> None:
        self._gone, self.stalled = True, stalled
        self._consider_end()

    # What the server does (``server_end.ServerListener``)

    def bytes_from_server(self, count: int) -> None:
        page = self.page
        if self._v1:
            self._outstanding += count
        if page.full or self._joined:
            self._joined += INBOX.payload[:count]
            self._make_room()
            return
        page.send_inbox(INBOX, count)
        if self._v1 or page.full:
            self._make_room()

    def unsent_changed(self) -> None:
        assert self._server is not None
        self._tell_taken()
        if self._server.takes_no_more:
            self.page.resume()
            return
        unsent, owed = self._server.unsent, self._v1 and self._outstanding >= CREDIT
        if unsent > (MOST_AHEAD if owed else MOST_UNSENT):
            self.page.pause()
            if owed:
                self._expect_more()
        elif owed or unsent <= MOST_UNSENT // 2:
            self.page.resume()

    def ended(self, reset: bool) -> None:
        self._flush()
        self._server_ended = True
        if verdict := self._verdict():
            self._close(verdict)
        elif reset:
            self._close(close_codes.SERVER_RESET)
        elif not self._v1:
            self._close(close_codes.SERVER_DONE)
        else:
            self._send_message("eof")
            if self._page_ended:
                self._close(close_codes.BOTH_DONE)
            else:
                self._expect_more()

    def closed(self) -> None:
        self._consider_end()

    def failed(self) -> None:
        self.page.fail(close_codes.BUG)

    # How

    def _tell_taken(self) -> None:
        """To a page that wants to know how much of what it sent the server's end has taken."""
        if self._tells_taken and self._server is not None:
            taken = self._from_page - self._server.unsent
            if taken - self._told_taken >= TAKEN_STEP:
                self._told_taken = taken
                self._send_message("taken", bytes=taken)

    def _send_message(self, what: str, **more: Any) -> None:
        if self._v1:
            self.page.send_text(encode(what, **more))

    def _credit(self, count: int) -> None:
        if count > self._outstanding:
            self._give_up(close_codes.overdrawn(count - self._outstanding))
            return
        self._outstanding -= count
        self._make_room()
        if self._server is not None:
            self.unsent_changed()

    def _flush(self) -> None:
        if self._joined:
            self.page.send_bytes(self._joined)
            self._joined.clear()

    def _make_room(self) -> None:
        if self._server is not None:
            room = CAP - len(self._joined)
            if self._v1:
                room = min(room, CREDIT - self._outstanding)
            before, self._server.room = self._server.room, room
            if not room or not before:
                self._server.regulate()
                if not room:
                    self.unsent_changed()

    def _close(self, verdict: Verdict) -> None:
        self._forget_half_open()
        self.page.close(verdict)

    def _give_up(self, verdict: Verdict) -> None:
        """End it though both could go on; what the page still sends is for nobody."""
        self._close(verdict)
        if self._server is not None:
            self._server.leave()
        self.page.resume()

    def _expect_more(self) -> None:
        """Of the page, some time."""
        self._forget_half_open()
        self._stirred = False
        self._half_open = self._loop.call_later(SECONDS_HALF_OPEN, self._expected_more)

    def _expected_more(self) -> None:
        self._half_open = None
        stuck = self._outstanding >= CREDIT and self._server is not None and self._server.unsent > MOST_AHEAD
        if not (self._server_ended or stuck):
            return
        if self._stirred:
            self._expect_more()
        else:
            self._give_up(close_codes.idle(SECONDS_HALF_OPEN))

    def _forget_half_open(self) -> None:
        if self._half_open is not None:
            self._half_open.cancel()
            self._half_open = None

    def _consider_end(self) -> None:
        if self._gone and (self._server is None or self._server.is_closed) and not self.over.done():
            self.over.set_result(None)
