"""What the generator is to do, and what it says of it: the two sides' common language, JSON a line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Load(BaseModel):
    """Of one trial. ``rate`` is that of all clients together, and makes the loop an open one."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    clients: Annotated[int, Field(ge=1, le=10_000)] = 50
    size: Annotated[int, Field(ge=1, le=16 * 1024 * 1024, description="Bytes of a message.")] = 1024
    seconds: Annotated[float, Field(gt=0, le=600)] = 2.0
    warm_up: Annotated[float, Field(ge=0, le=60)] = 0.5
    rate: Annotated[float | None, Field(gt=0, le=1e6, description="Messages a second; null: a closed loop.")] = None
    think: Annotated[
        float,
        Field(
            ge=0,
            le=60,
            description="Seconds between an answer and the next message; of a client that comes for one message, how "
            "long it stays before it says it. Its latency is then that from its coming.",
        ),
    ] = 0.0
    one_at_a_time: Annotated[
        bool, Field(description="The server has one client, and lets in the next when it goes.")
    ] = False
    pipeline: Annotated[int, Field(ge=1, le=1000, description="Messages of a client on their way at once.")] = 1
    churn: Annotated[bool, Field(description="A connection for each message.")] = False
    slow: Annotated[int, Field(ge=0, le=10_000, description="Clients beside these that read 1 KiB in 0.1 s.")] = 0
    silent: Annotated[int, Field(ge=0, le=10_000, description="Clients beside these that say nothing.")] = 0
    ending: Annotated[Literal["\n", "quit\n"], Field(description="Of a message.")] = "\n"
    pid: Annotated[int | None, Field(description="The server's process, if its processor time is to be counted.")] = (
        None
    )
    prefix: Annotated[str, Field(description="What the server puts before each piece.")] = ""


class Done(BaseModel):
    """Seconds, bytes, and counts; histograms as ``Histogram.told``."""

    seconds: float
    messages: int
    bytes: int
    latency: dict[str, Any]
    schedule: Annotated[dict[str, Any], Field(description="How late messages of an open loop were sent.")]
    unsent: Annotated[int, Field(description="Messages of an open loop that could not be sent in time.")]
    errors: Annotated[dict[str, int], Field(description="By kind.")]
    connect_seconds: float
    cpu: Annotated[float, Field(description="Of one processor, 0 to 1.")]
    server_cpu: Annotated[float | None, Field(description="Seconds of a processor that the server's process used.")]
    switches: Annotated[int | None, Field(description="Of context, of the server's threads.")]
    limited: Annotated[str | None, Field(description="Why the generator, and not the server, was the limit.")]
    by_client: Annotated[list[int], Field(description="Messages of each client.")]
    heat: Annotated[
        list[dict[int, int]], Field(description="By tenth of a second: messages by half octave of latency.")
    ]
    series: Annotated[list[tuple[int, float]], Field(description="By tenth of a second: messages, the worst latency.")]
