"""What the OpenAPI document says of routes that answer with a stream."""

from fastapi.responses import Response


class EventStreamResponse(Response):
    media_type = "text/event-stream"
