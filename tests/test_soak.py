"""A minute of ``make soak``."""

from __future__ import annotations

import pytest

from tests.soak import soak


@pytest.mark.timeout(240)
def test_a_minute_of_everything_at_once_leaves_nothing_behind() -> None:
    assert soak(60.0) == []
