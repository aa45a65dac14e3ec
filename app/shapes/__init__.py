"""The JSON in which the API and the feed speak of things, one file a noun."""

from typing import Any

Responses = dict[int | str, dict[str, Any]]
"""What the OpenAPI document says of a route's answers."""
