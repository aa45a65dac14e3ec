"""What a server's life may be: its states, the events that move it, and when it is worth another try.

Data and arithmetic only. An event that ``TRANSITIONS`` lacks for a state is a mistake of the caller's: it raises and
changes nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    CRASHED = "crashed"
    BACKOFF = "backoff"
    FAILED = "failed"


class Event(StrEnum):
    START = "start"  # somebody asked for it
    LISTENING = "listening"
    REFUSED = "refused"  # it cannot listen, and whoever asked is told
    RETURNED = "returned"  # serve came to its end
    RAISED = "raised"  # serve failed, or a retry cannot listen
    RETRY_DUE = "retry due"  # the policy wants another try
    RETRY = "retry"
    GIVE_UP = "give up"
    STOP = "stop"
    ENDED = "ended"  # nothing of the run is left, or what is left was reported


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.STOPPED, Event.START): State.STARTING,
    (State.EXITED, Event.START): State.STARTING,
    (State.CRASHED, Event.START): State.STARTING,
    (State.BACKOFF, Event.START): State.STARTING,
    (State.FAILED, Event.START): State.STARTING,
    (State.STARTING, Event.LISTENING): State.RUNNING,
    (State.STARTING, Event.REFUSED): State.STOPPED,
    (State.STARTING, Event.RAISED): State.CRASHED,
    (State.RUNNING, Event.RETURNED): State.EXITED,
    (State.RUNNING, Event.RAISED): State.CRASHED,
    (State.EXITED, Event.RETRY_DUE): State.BACKOFF,
    (State.CRASHED, Event.RETRY_DUE): State.BACKOFF,
    (State.BACKOFF, Event.RETRY): State.STARTING,
    (State.BACKOFF, Event.GIVE_UP): State.FAILED,
    (State.RUNNING, Event.STOP): State.STOPPING,
    (State.STOPPING, Event.ENDED): State.STOPPED,
    (State.EXITED, Event.STOP): State.STOPPED,
    (State.CRASHED, Event.STOP): State.STOPPED,
    (State.BACKOFF, Event.STOP): State.STOPPED,
    (State.FAILED, Event.STOP): State.STOPPED,
}

AT_REST = frozenset({State.STOPPED, State.EXITED, State.CRASHED, State.FAILED})
"""Nothing runs and nothing is about to: what the server listens on may change."""


class ImpossibleEvent(Exception):
    """The table has no such event in this state."""


def after(state: State, event: Event) -> State:
    """The state that ``event`` leads to.

    Raises:
        ImpossibleEvent: the event cannot happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleEvent(f"{event.value!r} cannot happen to a server that is {state.value}") from None


class Restart(StrEnum):
    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"

    def wants(self, ended: State) -> bool:
        """Whether a server that ended this way, by itself, is to run again."""
        return self is Restart.ALWAYS or (self is Restart.ON_FAILURE and ended is State.CRASHED)


@dataclass
class Backoff:
    """How long to wait before the next try; all times in seconds of one monotonic clock.

    The delay doubles from ``first`` to ``longest`` with every restart and starts anew once a run lasted for ``window``.
    After ``most`` restarts within the last ``window`` it gives up. Up to ``jitter`` of a delay is added, by chance, so
    that servers which fell together do not all come back at once.
    """

    first: float = 0.5
    longest: float = 30.0
    most: int = 5
    window: float = 60.0
    jitter: float = 0.1
    chance: Callable[[], float] = random.random
    _restarts: deque[float] = field(default_factory=deque)
    _in_a_row: int = 0

    def next_delay(self, now: float, lasted: float) -> float | None:
        """The wait before the next try, after a run that lasted this long; None to give up."""
        while self._restarts and self._restarts[0] <= now - self.window:
            self._restarts.popleft()
        if lasted >= self.window:
            self._in_a_row = 0
        if len(self._restarts) >= self.most:
            return None
        delay = min(self.longest, self.first * 2.0 ** min(self._in_a_row, 32))
        self._restarts.append(now)
        self._in_a_row += 1
        return delay * (1 + self.jitter * self.chance())

    def forget(self) -> None:
        """Somebody started or stopped the server: earlier failures no longer count."""
        self._restarts.clear()
        self._in_a_row = 0
