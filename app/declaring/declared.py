"""Servers declared in a file (TOML): reading one, with everything that is wrong with it, and writing one.

    [[server]]
    variant = "asyncio"
    port = 8001
    idle_timeout = 30

Fields are those of ``POST /servers``, and so are their defaults: a field that is left out is its default.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from app.declaring.plan import FIELDS, Present, collide
from app.supervising.spec import PATTERNS, SETTINGS, ServerSpec

MOST_BYTES = 8 * 1024 * 1024

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*server[ \t]*\]\]", re.MULTILINE)


class Undeclarable(Exception):
    """The file cannot be used. ``errors`` has a line for each reason, beginning with the file's name."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = ["".join(char if char.isprintable() else ascii(char)[1:-1] for char in one) for one in errors]
        super().__init__("\n".join(self.errors))


def read(content: bytes, file: str, variants: Collection[str] | None = None) -> list[ServerSpec]:
    """The servers that a file declares, each with its name; ``variants`` are those that there are, if that is known.

    Raises:
        Undeclarable: all that is wrong with it, as far as it can be known at once.
    """
    try:
        if len(content) > MOST_BYTES:
            raise Undeclarable([f"{file}: is longer than {MOST_BYTES} bytes"])
        text = content.decode("utf-8-sig")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Undeclarable([f"{file}:{line}: is not UTF-8"]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Undeclarable([f"{file}: is no TOML: {error}"]) from None
    entries = document.pop("server", None)
    errors = [f"{file}: {key}: there is no such thing here; servers are declared by [[server]]" for key in document]
    if not isinstance(entries, list):
        # Not taken for "none": a file that is just being written would have every declared server removed.
        is_table = isinstance(entries, dict)
        message = "declares no server; for none, write server = []"
        if is_table:
            message = "write [[server]], with two brackets"
        raise Undeclarable([*errors, f"{file}: {message}"])
    places = _places(file, text, entries)
    specs = [_entry(entry, place, variants, errors) for entry, place in zip(entries, places, strict=True)]
    errors += _conflicts([(spec, place) for spec, place in zip(specs, places, strict=True) if spec])
    if errors:
        raise Undeclarable(errors)
    return [spec for spec in specs if spec]


def write(servers: Iterable[Present]) -> str:
    """A file that declares these servers as they are: what differs from its default, and what tells them apart."""
    import tomli_w  # at the start a manifest is read, not written

    entries = [f"[[server]]\n{tomli_w.dumps(declaration(server))}" for server in servers]
    return "\n".join(entries) or "server = []\n"


def declaration(server: Present) -> dict[str, Any]:
    """One entry. Whether it is to start is the last wish for it, not whether it came to an end by itself."""
    spec = server.spec
    entry: dict[str, Any] = {"variant": spec.variant, "port": spec.port, "name": server.name}
    if server.desired == "stopped":
        entry["start"] = False
    for name, value in spec.model_dump(mode="json").items():
        if name in FIELDS and name not in entry and value != SETTINGS[name].default:
            entry[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return entry


def _places(file: str, text: str, entries: list[Any]) -> list[str]:
    """Where each entry stands, and which it is, for messages about what is wrong with it."""
    lines = [text.count("\n", 0, found.start()) + 1 for found in _HEADER.finditer(text)]
    places = []
    for number, entry in enumerate(entries, 1):
        where = f"{file}:{lines[number - 1]}" if len(lines) == len(entries) else file
        name = _name(entry) if isinstance(entry, dict) else ""
        places.append(f"{where}: server {number}{f' ({name})' if name else ''}")
    return places


def _name(entry: dict[str, Any]) -> str:
    if "name" in entry:
        return str(entry["name"])
    return f"{entry['variant']}-{entry['port']}" if {"variant", "port"} <= entry.keys() and entry["port"] else ""


def _entry(entry: Any, place: str, variants: Collection[str] | None, errors: list[str]) -> ServerSpec | None:
    """What is wrong with it is added to ``errors``."""
    if not isinstance(entry, dict):
        errors.append(f"{place}: should be a table")
        return None
    found = []
    variant = entry.get("variant")
    if variants is not None and isinstance(variant, str) and variant not in variants:
        found.append(f"variant = {_as_toml(variant)} should be one of {', '.join(variants)}")
    try:
        spec = ServerSpec.model_validate(entry)
    except ValidationError as error:
        found += [_explained(one) for one in error.errors()]
    else:
        if not spec.port and not spec.name:
            found.append("port = 0 needs a name; else nobody could say tomorrow which server is meant")
        if not found:
            return spec.model_copy(update={"name": _name(entry)})
    errors += [f"{place}: {one}" for one in found]
    return None


def _explained(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "missing":
            return f"{name} is missing"
        case "extra_forbidden":
            known = list(SETTINGS)
            near = difflib.get_close_matches(name, known, 1)
            return f"{name}: there is no such field; " + (f"{near[0]}?" if near else f"there are {', '.join(known)}")
        case "string_pattern_mismatch":
            message = f"should be {PATTERNS[error['ctx']['pattern']]}"
        case _:
            message = re.sub("^(Input|String|Value error,) ?", "", error["msg"])
    return f"{name} = {_as_toml(error['input'])} {message}"


def _as_toml(value: Any) -> str:
    """As the file has it, or nearly."""
    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _conflicts(entries: list[tuple[ServerSpec, str]]) -> Iterator[str]:
    """Two that are to run at one place cannot; one may take turns there with others that are stopped."""
    names: dict[str | None, str] = {}
    for spec, place in entries:
        if spec.name in names:
            yield f"{place}: has the same name as {_short(names[spec.name])}; names are unique"
        names.setdefault(spec.name, place)
    ports: dict[int, list[tuple[ServerSpec, str]]] = {}
    for spec, place in entries:
        if not spec.start or not spec.port:
            continue
        for other, at in ports.setdefault(spec.port, []):
            if collide(spec, other):
                yield f"{place}: {spec.host} port {spec.port} is that of {_short(at)} too; choose another port"
                break
        ports[spec.port].append((spec, place))


def _short(place: str) -> str:
    """Without the file."""
    return place[place.rindex(": server ") + 2 :]
