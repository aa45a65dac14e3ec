"""What a server's life may be: its states, the events that move it, and how a run ended.

Data only. An event that ``TRANSITIONS`` lacks for a state is a mistake of the caller's: it raises and
changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
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
    START = "start"  # on request
    LISTENING = "listening"
    REFUSED = "refused"  # it cannot listen, and the request is refused
    RETURNED = "returned"  # serve came to its end
    RAISED = "raised"  # serve failed, or a retry may never listen
    UNAVAILABLE = "unavailable"  # a retry cannot listen now: somebody else has the port, perhaps
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
    (State.STARTING, Event.UNAVAILABLE): State.BACKOFF,
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


@dataclass(frozen=True)
class About:
    """What there is to know of a state. ``words`` are for people.

    ``rests``: nothing runs and nothing is about to; what the server listens on may change then. ``ended``: the latest
    run ended by itself, and people want to know how. ``final``: no restart policy leaves it.
    """

    words: str
    rests: bool = False
    ended: bool = False
    final: bool = False


STATES: dict[State, About] = {
    State.STOPPED: About("stopped", rests=True),
    State.STARTING: About("starting"),
    State.RUNNING: About("running"),
    State.STOPPING: About("stopping"),
    State.EXITED: About("exited", rests=True, ended=True),
    State.CRASHED: About("crashed", rests=True, ended=True),
    State.BACKOFF: About("waits to restart", ended=True),
    State.FAILED: About("failed", rests=True, ended=True, final=True),
}

AT_REST = frozenset(state for state, about in STATES.items() if about.rests)
FINAL = frozenset(state for state, about in STATES.items() if about.final)


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


class ExitReason(StrEnum):
    STOPPED = "stopped"  # on request
    RETURNED = "returned"  # serve came to its end
    RAISED = "raised"  # serve failed
    ABANDONED = "abandoned"  # it did not obey a stop
    UNAVAILABLE = "unavailable"  # it cannot listen yet


EXIT_WORDS: dict[ExitReason, str] = {
    ExitReason.STOPPED: "stopped on request",
    ExitReason.RETURNED: "served its clients and ended",
    ExitReason.RAISED: "{0}",
    ExitReason.ABANDONED: "did not stop; left behind: {0}",
    ExitReason.UNAVAILABLE: "waits until it can listen: {0}",
}
"""The sentence for people; ``{0}`` is the exception in words, or the names of what is left."""


@dataclass(frozen=True)
class Exit:
    """How the latest run of a server ended. ``what`` fills in the sentence of its reason."""

    at: datetime
    reason: ExitReason
    what: str = ""

    @property
    def message(self) -> str:
        return EXIT_WORDS[self.reason].format(self.what)
