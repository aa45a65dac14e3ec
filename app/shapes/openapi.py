"""What the OpenAPI document says of answers that are no JSON of ours."""

from typing import Any

Responses = dict[int | str, dict[str, Any]]
"""Of one route, by status."""

_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "id": {"type": "string"}, "data": {"type": "string"}},
    "required": ["event", "data"],
}

EVENT_STREAM: Responses = {200: {"description": "Events.", "content": {"text/event-stream": {"schema": _EVENT}}}}
