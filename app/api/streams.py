"""What the OpenAPI document says of routes that answer with Server-Sent Events."""

from app.shapes import Responses

_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "id": {"type": "string"}, "data": {"type": "string"}},
    "required": ["event", "data"],
}

EVENT_STREAM: Responses = {200: {"description": "Events.", "content": {"text/event-stream": {"schema": _EVENT}}}}
