"""``make soak``, for a short time."""

from __future__ import annotations

import pytest

from tests.soak import soak


@pytest.mark.parametrize("seconds", [8.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_everything_at_once_leaves_nothing_behind(seconds: float) -> None:
    assert soak(seconds) == []
