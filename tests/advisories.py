"""``make advisories``: what is locked, held against ``.ci/advisories.toml``; ends with 1 if an advisory concerns it."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parent.parent
FRESH_DAYS = 90

Locked = dict[str, dict[str, set[str]]]


def locked(root: Path = ROOT) -> Locked:
    """By registry and package, the versions that any lock names."""
    found: Locked = {"python": {}, "npm": {}}
    for lock in root.glob("requirements*.txt"):
        for name, version in re.findall(
            r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
        ):
            found["python"].setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    packages = json.loads((root / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for place, package in packages.items():
        if place:
            found["npm"].setdefault(place.rpartition("node_modules/")[2], set()).add(package["version"])
    return found


def known() -> dict[str, Any]:
    return tomllib.loads((ROOT / ".ci" / "advisories.toml").read_text(encoding="utf-8"))


def concerned(locks: Locked, advisories: dict[str, Any]) -> Iterator[str]:
    for registry in ("python", "npm"):
        for name, entries in advisories[registry].items():
            for version in sorted(locks[registry].get(name, ())):
                for affected, where in entries:
                    if SpecifierSet(affected).contains(Version(version), prereleases=True):
                        yield f"{name} {version} is affected by {where} ({affected})"


def main() -> int:
    advisories, locks = known(), locked()
    found = list(concerned(locks, advisories))
    count = sum(len(names) for names in locks.values())
    old = (datetime.now(UTC).date() - advisories["reviewed"]).days
    for line in found:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{count} packages, {len(found)} concerned; the list was reviewed on {advisories['reviewed']}\n")
    if old > FRESH_DAYS:
        sys.stdout.write(f"that is {old} days ago: look the packages up anew\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
