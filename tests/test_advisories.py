"""No advisory that is known here concerns what is locked."""

from __future__ import annotations

from tests.advisories import concerned, known, locked


def test_no_advisory_concerns_what_is_locked() -> None:
    locks = locked()
    assert len(locks["python"]) > 50
    assert len(locks["npm"]) > 3
    assert list(concerned(locks, known())) == []


def test_an_affected_version_is_named_wherever_it_is_locked() -> None:
    locks = {"python": {"jinja2": {"3.1.5", "3.1.6"}, "starlette": {"0.49.0"}}, "npm": {"uplot": {"1.6.30"}}}
    assert list(concerned(locks, known())) == [
        "jinja2 3.1.5 is affected by CVE-2025-27516 (<3.1.6)",
        "starlette 0.49.0 is affected by CVE-2025-62727 (>=0.39.0,<0.49.1)",
        "uplot 1.6.30 is affected by CVE-2024-21489 (<1.6.31)",
    ]


def test_what_is_listed_is_locked_or_was() -> None:
    locks = locked()
    missing = {name for registry in ("python", "npm") for name in known()[registry] if name not in locks[registry]}
    assert missing == set()
