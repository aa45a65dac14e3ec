"""The table of states, and when a server is tried again: data and arithmetic, without a loop."""

from __future__ import annotations

import itertools

import pytest

from app.clock import Clock
from app.supervising.backoff import Backoff, Restart
from app.supervising.lifecycle import AT_REST, TRANSITIONS, Event, Exit, ExitReason, ImpossibleEvent, State, after

LIVES = [
    ("asked to start and to stop", "start listening stop ended", "starting running stopping stopped"),
    ("cannot listen", "start refused", "starting stopped"),
    ("serves its client and ends", "start listening returned", "starting running exited"),
    ("crashes", "start listening raised", "starting running crashed"),
    ("is tried again", "start listening raised retry-due retry listening", "starting running crashed backoff starting running"),
    ("always runs again", "start listening returned retry-due retry", "starting running exited backoff starting"),
    ("cannot listen when tried again", "start listening raised retry-due retry raised", "starting running crashed backoff starting crashed"),
    ("is given up", "start listening raised retry-due give-up", "starting running crashed backoff failed"),
    ("is stopped while it waits for another try", "start listening raised retry-due stop", "starting running crashed backoff stopped"),
    ("is started by hand while it waits", "start listening raised retry-due start", "starting running crashed backoff starting"),
    ("starts anew after it was given up", "start listening raised retry-due give-up start", "starting running crashed backoff failed starting"),
    ("is put to rest after a crash", "start listening raised stop", "starting running crashed stopped"),
]  # fmt: skip


@pytest.mark.parametrize(("events", "states"), [life[1:] for life in LIVES], ids=[life[0] for life in LIVES])
def test_a_server(events: str, states: str) -> None:
    state = State.STOPPED
    for event, expected in zip(events.split(), states.split(), strict=True):
        state = after(state, Event(event.replace("-", " ")))
        assert state.value == expected


@pytest.mark.parametrize(("state", "event"), sorted(set(itertools.product(State, Event)) - set(TRANSITIONS)))
def test_an_event_that_the_table_lacks_raises(state: State, event: Event) -> None:
    with pytest.raises(ImpossibleEvent, match=state.value):
        after(state, event)


def test_every_state_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS.values()) == {state for state, _ in TRANSITIONS} == set(State)


def test_from_every_state_at_rest_a_start_is_possible() -> None:
    assert all((state, Event.START) in TRANSITIONS for state in AT_REST)


@pytest.mark.parametrize(
    ("policy", "exited", "crashed"), [("never", False, False), ("on-failure", False, True), ("always", True, True)]
)
def test_a_policy_wants_another_run(policy: str, exited: bool, crashed: bool) -> None:
    assert Restart(policy).wants(State.EXITED) is exited
    assert Restart(policy).wants(State.CRASHED) is crashed


def backoff() -> Backoff:
    return Backoff(chance=lambda: 0.0)


def test_the_delay_doubles_up_to_its_bound_while_runs_are_short() -> None:
    tries = backoff()
    now, delays = 0.0, []
    for _ in range(9):
        now += 20.0
        delays.append(tries.next_delay(now, lasted=20.0))
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_it_gives_up_after_five_restarts_within_the_window() -> None:
    tries = backoff()
    assert [tries.next_delay(now, lasted=0.0) is None for now in range(6)] == [False] * 5 + [True]


@pytest.mark.parametrize("reason", ExitReason)
def test_every_exit_has_a_sentence_and_what_fills_it_in_is_taken_literally(reason: ExitReason) -> None:
    message = Exit(Clock().wall(), reason, "KeyError: '{0}'").message
    assert message.replace("KeyError: '{0}'", "")[:1].isalpha() or message == "KeyError: '{0}'"


def test_the_window_slides() -> None:
    tries = backoff()
    for now in (0.0, 1.0, 2.0, 3.0, 4.0):
        tries.next_delay(now, lasted=0.0)
    assert tries.next_delay(59.9, lasted=0.0) is None
    assert tries.next_delay(60.0, lasted=0.0) is not None
    assert tries.next_delay(60.5, lasted=0.0) is None


def test_a_run_that_lasted_starts_the_delays_anew() -> None:
    tries = backoff()
    assert [tries.next_delay(now, lasted) for now, lasted in ((0, 0), (1, 0), (100, 60))] == [0.5, 1.0, 0.5]


def test_what_is_forgotten_does_not_count() -> None:
    tries = backoff()
    for now in range(5):
        tries.next_delay(now, lasted=0.0)
    tries.forget()
    assert tries.next_delay(5, lasted=0.0) == 0.5


def test_jitter_only_lengthens() -> None:
    assert Backoff(chance=lambda: 1.0).next_delay(0, 0) == pytest.approx(0.55)
