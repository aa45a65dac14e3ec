"""The end of the process, apart from a process."""

from __future__ import annotations

import asyncio
import contextvars
import signal
from typing import Any

import uvicorn

from app.loop.ownership import OWNER
from app.program.app import create_app
from app.program.serving import Process
from app.settings import Settings
from app.supervising.supervisor import Supervisor
from tests.helpers import until


class Server:
    """A server whose code runs when the signal comes."""

    name = "busy"

    def __init__(self) -> None:
        self.adopted: list[asyncio.Task[Any]] = []

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self.adopted.append(task)

    def expects(self, error: BaseException) -> bool:
        return False

    def failed(self, error: BaseException) -> None:
        raise AssertionError(error)


async def test_the_apps_end_belongs_to_no_server_that_a_signal_interrupts(supervisor: Supervisor) -> None:
    process = Process(uvicorn.Config(create_app(Settings(state=":memory:"))), supervisor)
    busy = Server()

    def interrupted() -> None:
        OWNER.set(busy)
        process.handle_exit(signal.SIGTERM, None)

    contextvars.copy_context().run(interrupted)
    await until(lambda: process.should_exit, "the end is through")
    assert busy.adopted == []
    assert supervisor.closing
