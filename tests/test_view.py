"""What a feed has told: whoever hears every change knows everything."""

from __future__ import annotations

import random

import pytest

from app.watching.view import Change, View


def apply(state: dict[str, str], changes: list[Change]) -> None:
    for change in changes:
        if change.data is None:
            del state[change.key]  # it was there
        else:
            state[change.key] = change.data


@pytest.mark.parametrize("seed", range(20))
def test_whoever_hears_every_change_knows_everything(seed: int) -> None:
    chance = random.Random(seed)
    view = View(most_gone=10_000)
    followers: list[tuple[int, dict[str, str]]] = [(0, {})]
    for step in range(300):
        key = str(chance.randrange(20))
        if chance.random() < 0.3:
            view.drop("thing", key)
        else:
            view.put("thing", key, None, str(chance.randrange(3)))
        truth = {change.key: change.data for change in view.all()}
        if chance.random() < 0.1:
            followers.append((view.latest, dict(truth)))  # type: ignore[arg-type]
        for at, (heard, state) in enumerate(followers):
            if chance.random() < 0.2 or step == 299:
                changes = view.since(heard)
                assert changes is not None
                assert all(change.number > heard for change in changes)
                assert len({change.key for change in changes}) == len(changes)  # each but once
                gone = [change for change in changes if change.data is None and change.key not in state]
                apply(state, [change for change in changes if change not in gone])
                assert state == truth
                followers[at] = (view.latest, state)


def test_what_did_not_change_is_no_change() -> None:
    view = View()
    view.put("thing", "a", None, "1")
    view.put("thing", "a", None, "1")
    view.drop("thing", "b")
    assert (view.latest, view.keys("thing")) == (1, {"a"})


def test_whoever_heard_too_little_or_of_the_future_must_begin_anew() -> None:
    view = View(most_gone=2)
    for number in range(5):
        view.put("thing", str(number), None, "")
    assert view.since(6) is None
    assert view.since(5) == []
    for number in range(3):
        view.drop("thing", str(number))  # 6, 7, 8; of these, the first is forgotten
    assert view.since(5) is None
    assert [change.number for change in view.since(6) or []] == [7, 8]
    view.keep("thing", 1)
    assert view.since(6) is None
