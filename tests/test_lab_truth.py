"""What one's own measurements are to show, whoever else wants the processors: figures are compared with each other."""

from __future__ import annotations

import httpx

from tests.labs import measured


def test_settings_of_a_variants_own(lab: httpx.Client) -> None:
    slow = {"variant": "asyncio", "settings": {"nodelay": False}, "label": "Nagle"}
    trials = measured(
        lab, variants=["asyncio", slow], size=64_000, settings={"recv_size": 1024}, clients=1, seconds=0.5
    )["trials"]
    fast, held = trials
    assert held["variant"] == "Nagle"
    assert held["p50_us"] > max(20_000, 1.5 * fast["p50_us"])  # delayed acknowledgements: 40 ms


def test_polling_takes_a_processor_and_waiting_does_not(lab: httpx.Client) -> None:
    trials = measured(lab, variants=["nonblocking", "selectors"], think=0.05, seconds=0.5)["trials"]
    polling, waiting = trials
    assert polling["server_share"] > 4 * waiting["server_share"]  # all of a processor, if nobody else wants it


def test_the_wait_grows_with_the_place_in_the_queue(lab: httpx.Client) -> None:
    result = measured(lab, variants=["blocking", "asyncio"], clients=4, churn=True, think=0.05, seconds=0.5)
    blocking, all_at_once = result["trials"]
    assert blocking["p50_us"] > 100_000  # three others stay for 50 ms each
    assert 50_000 <= all_at_once["p50_us"] < blocking["p50_us"]
