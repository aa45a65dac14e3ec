"""The two clocks that supervision reads, in one place so that tests can turn them by hand."""

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def wall(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
