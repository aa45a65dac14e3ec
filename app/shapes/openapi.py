"""What the OpenAPI document says of headers, and of answers that are no JSON of ours."""

from collections.abc import Mapping
from typing import Any

Responses = dict[int | str, dict[str, Any]]
"""Of one route, by status."""


def described(headers: Mapping[str, str]) -> dict[str, Any]:
    """Headers that every answer of one status has, by name, each with its description."""
    return {
        name: {"description": text, "required": True, "schema": {"type": "string"}} for name, text in headers.items()
    }


ETAG = {"ETag": "Of the server's spec; for `If-Match`."}


_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "id": {"type": "string"}, "data": {"type": "string"}},
    "required": ["event", "data"],
}

EVENT_STREAM: Responses = {200: {"description": "Events.", "content": {"text/event-stream": {"schema": _EVENT}}}}

TAGS = {
    "servers": "Made, changed, started, stopped and removed.",
    "variants": "The kinds of servers that there are, and their sources.",
    "connections": "Of all servers: looked at, tapped and ended.",
    "exceptions": "What servers raised, and the journal of what happened.",
    "events": "The feed of every change.",
    "loop": "The event loop that all servers share: its lag, shares, tasks and stalls.",
    "recordings": "The calls of a server, and variants played beside each other.",
    "lab": "Experiments with load, and their results.",
    "nodes": "Of a fleet.",
    "limits": "What the app allows.",
    "health": "Whether the app is alive and takes work.",
    "metrics": "For Prometheus.",
    "problems": "What each kind of refusal means.",
}


def say_items(schema: Any) -> None:
    """Give each array ``items``, also one that has a type for each place: many tools know nothing else."""
    if isinstance(schema, dict):
        places = schema.get("prefixItems")
        if isinstance(places, list):
            types = [place for number, place in enumerate(places) if place not in places[:number]]
            schema.setdefault("items", types[0] if len(types) == 1 else {"anyOf": types})
        for part in schema.values():
            say_items(part)
    elif isinstance(schema, list):
        for part in schema:
            say_items(part)
