"""An experiment: one question as variants, a load, and what varies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from app.supervising.spec import ServerSpec
from servers import Variant

FACTORS = ("clients", "size", "rate", "think")
"""What may be a list of values."""

MOST_SECONDS = 600
MOST_CLIENTS = 10_000
MOST_VALUES = 20
MOST_VARIANTS = 12

BETWEEN = 0.6
"""Seconds that a trial takes beside warm-up and time: a server starts, clients connect, the last answers come."""

DECIDED_HERE = frozenset({"name", "port", "host", "variant", "on", "start", "restart"})

ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+):(?P<port>[0-9]{1,5})")

Figure = Literal[
    "msgs_per_s", "bytes_per_s", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "cpu_us_per_message",
    "server_share", "lag_p99_ms", "memory_per_connection",
]  # fmt: skip
MORE_IS_BETTER = frozenset({"msgs_per_s", "bytes_per_s"})

Affinity = Literal["apart", "one", "free"]
"""On which cores server and generator run: one each, the same one, or whichever the kernel chooses."""


def _one_or_many(kind: Any, source: Any) -> Any:
    """A factor: a value, or a list of them, of which one is as good as none."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def check(given: Any) -> Any:
        many = given if isinstance(given, list) else [given]
        if not 1 <= len(many) <= MOST_VALUES:
            raise ValueError(f"give a value, or a list of up to {MOST_VALUES}")
        try:
            found = [adapter.validate_python(one) for one in many]
        except ValidationError as reason:
            raise ValueError(reason.errors()[0]["msg"]) from None
        if len(set(found)) < len(found):
            raise ValueError("the same value comes twice")
        return found if len(found) > 1 else found[0]

    return PlainValidator(check, json_schema_input_type=source)


Clients = _one_or_many(Annotated[int, Field(ge=1, le=MOST_CLIENTS, strict=True)], int | list[int])
Size = _one_or_many(Annotated[int, Field(ge=1, le=16 * 1024 * 1024, strict=True)], int | list[int])
Rate = _one_or_many(Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None, float | list[float] | None)
Think = _one_or_many(Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)], float | list[float])


class Impossible(Exception):
    """The experiment cannot be; the message says why, and ``field`` where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Expectation(BaseModel):
    """What must hold of a figure's median at each value of the factor."""

    model_config = ConfigDict(extra="forbid")

    figure: Figure
    variant: Annotated[str, Field(max_length=300)]
    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.below is None and self.above is None:
            raise ValueError("below or above: one of them is needed")
        return self


class Varied(BaseModel):
    """A variant, with settings or an affinity of its own, or another one beside it; in JSON its name alone without."""

    model_config = ConfigDict(extra="forbid")

    variant: Annotated[str, Field(min_length=1, max_length=100)]
    settings: dict[str, Any] = {}
    beside: Annotated[
        str | None, Field(max_length=100, description="A variant that runs in the same process, without clients.")
    ] = None
    affinity: Annotated[Affinity | None, Field(description="Of its trials, in place of the experiment's.")] = None
    label: Annotated[str | None, Field(min_length=1, max_length=100)] = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"variant": given} if isinstance(given, str) else given

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        own = self.settings or self.beside or self.affinity or self.label
        return handler(self) if own else self.variant

    @property
    def name(self) -> str:
        """By which it is known in figures, unless another one has that."""
        words = [f"{name}={str(value).lower()}" for name, value in self.settings.items()]
        words += [f"affinity={self.affinity}"] if self.affinity else []
        return self.label or " ".join([self.variant, *words, *([f"beside {self.beside}"] if self.beside else [])])


class Experiment(BaseModel):
    """The body of ``POST /lab/experiments``, and a file's content. One of the factors may be a list of values."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: Annotated[
        str | None, Field(max_length=100, description="A name of yours; that of a built-in one gives its fields.")
    ] = None
    question: Annotated[str, Field(max_length=1000)] = ""
    variants: Annotated[
        list[Varied],
        Field(
            max_length=MOST_VARIANTS,
            description="Of `GET /variants`, also with settings of their own; one may come twice, to see the noise.",
        ),
    ] = []
    clients: Annotated[int | list[int], Clients] = 50
    size: Annotated[int | list[int], Size, Field(description="Bytes of a message.")] = 1024
    seconds: Annotated[float, Field(ge=0.2, le=MOST_SECONDS, allow_inf_nan=False, description="Of a trial.")] = 2.0
    rounds: Annotated[int, Field(ge=1, le=100, strict=True)] = 5
    warm_up: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False, description="Seconds before it counts.")] = 0.5
    loop: Annotated[
        Literal["closed", "open"],
        Field(description="Closed: a client waits for its answer. Open: messages go at a rate, whatever comes back."),
    ] = "closed"
    rate: Annotated[
        float | list[float] | None,
        Rate,
        Field(description="Messages a second of all clients together, for an open loop."),
    ] = None
    think: Annotated[
        float | list[float],
        Think,
        Field(
            description="Seconds between an answer and the next message; with churn, how long a client stays before it "
            "says its message, and latency counts from its coming."
        ),
    ] = 0.0
    pipeline: Annotated[
        int, Field(ge=1, le=1000, strict=True, description="Messages of a client on their way at once.")
    ] = 1
    churn: Annotated[bool, Field(strict=True, description="A connection for each message.")] = False
    slow: Annotated[
        int, Field(ge=0, le=MOST_CLIENTS, strict=True, description="Clients beside these that read 1 KiB in 0.1 s.")
    ] = 0
    silent: Annotated[
        int, Field(ge=0, le=MOST_CLIENTS, strict=True, description="Clients beside these that say nothing.")
    ] = 0
    settings: Annotated[dict[str, Any], Field(description="Of each server: those of `POST /servers`.")] = {
        "nodelay": True
    }
    in_: Annotated[
        Literal["apart", "here"],
        Field(alias="in", description="A process of its own for the servers, or this app's."),
    ] = "apart"
    affinity: Annotated[
        Affinity | None,
        Field(
            description="Cores of server and generator: `apart`, one each; `one`, the same; `free`, whichever the "
            "kernel chooses. Without it `apart`, or `one` where this app may use one core; `free` where neither can be "
            "set, and with `in` = `here`. The result has the one that was used."
        ),
    ] = None
    compare_with: Annotated[
        str | None, Field(max_length=300, description="HOST:PORT of an echo server outside, as one more variant.")
    ] = None
    expect: Annotated[list[Expectation], Field(max_length=100)] = []

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("compare_with")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not (found := ADDRESS.fullmatch(value)):
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:7000")
        if value is not None and found and not 1 <= int(found["port"]) <= 65535:
            raise ValueError("the port must be 1 to 65535")
        return value

    @property
    def factor(self) -> str | None:
        """The name of what varies."""
        return next((name for name in FACTORS if isinstance(getattr(self, name), list)), None)

    @property
    def values(self) -> list[float | None]:
        """Of the factor; one None without one."""
        return list(getattr(self, self.factor)) if self.factor else [None]

    @property
    def labels(self) -> list[str]:
        """By which the variants are known in figures, in their order: the second of a name is its ``(2)``."""
        found: list[str] = []
        for name in [*(one.name for one in self.variants), *([self.compare_with] if self.compare_with else [])]:
            before = sum(one == name or one.startswith(f"{name} (") for one in found)
            found.append(f"{name} ({before + 1})" if before else name)
        return found

    def affinity_of(self, subject: int) -> Affinity:
        """That of a variant's trials, by its place in ``labels``."""
        own = self.variants[subject].affinity if subject < len(self.variants) else None
        return own or self.affinity or "free"

    @property
    def least_seconds(self) -> float:
        """That all trials take, none of them repeated."""
        return self.rounds * len(self.labels) * len(self.values) * (self.warm_up + self.seconds + BETWEEN)

    @property
    def most_clients(self) -> int:
        clients = self.clients if isinstance(self.clients, list) else [self.clients]
        return max(clients) + self.slow + self.silent

    def at(self, value: float | None) -> dict[str, Any]:
        """Factors, with this value for the one that varies."""
        found = {name: getattr(self, name) for name in FACTORS}
        return found | ({self.factor: value} if self.factor else {})

    def check(self, variants: Mapping[str, Variant]) -> None:
        """What no field says alone.

        Raises:
            Impossible: it cannot be measured.
        """
        if not self.labels:
            raise Impossible("variants", "Name at least one variant, or a built-in experiment (GET /lab/built-in).")
        for number, name in enumerate(one.variant for one in self.variants):
            if name not in variants:
                raise Impossible(
                    f"variants.{number}", f"There is no variant {name!r}; there are {', '.join(variants)}."
                )
            if variants[name].wire.clients == "one in all":
                raise Impossible(f"variants.{number}", f"{name} serves one client in all: there is nothing to measure.")
        for number, one in enumerate(self.variants):
            if one.beside is not None and one.beside not in variants:
                raise Impossible(f"variants.{number}.beside", f"There is no variant {one.beside!r}.")
        lists = [name for name in FACTORS if isinstance(getattr(self, name), list)]
        if len(lists) > 1:
            raise Impossible(lists[1], f"One thing varies in an experiment, and {lists[0]} does already.")
        if (self.loop == "open") != (self.rate is not None):
            missing = "An open loop needs its rate." if self.loop == "open" else "A rate needs loop = 'open'."
            raise Impossible("rate", missing)
        if self.loop == "open" and self.think != 0:
            raise Impossible("think", "An open loop sends when it is time; its clients do not wait.")
        if self.loop == "open" and self.pipeline > 1:
            raise Impossible("pipeline", "An open loop sends when it is time; it has no pipeline.")
        if self.most_clients > MOST_CLIENTS:
            raise Impossible("clients", f"That is {self.most_clients:,} clients in all; at most {MOST_CLIENTS:,} go.")
        if self.least_seconds > MOST_SECONDS:
            raise Impossible(
                "seconds",
                f"That would take {self.least_seconds / 60:,.0f} minutes, and {MOST_SECONDS // 60} are the most: "
                "fewer rounds, seconds, variants or values.",
            )
        for number, expectation in enumerate(self.expect):
            if expectation.variant not in self.labels:
                raise Impossible(f"expect.{number}.variant", f"{expectation.variant!r} is not measured here.")
        self._check_settings()

    def _check_settings(self) -> None:
        for number, one in enumerate(self.variants):
            for where, given in (("settings", self.settings), (f"variants.{number}.settings", one.settings)):
                for name in DECIDED_HERE & given.keys():
                    raise Impossible(f"{where}.{name}", "The lab decides this.")
                try:
                    ServerSpec(variant=one.variant, port=0, **given)
                except ValidationError as reason:
                    (first, *_) = reason.errors()
                    place = ".".join(map(str, first["loc"]))
                    raise Impossible(f"{where}.{place}", first["msg"].removeprefix("Value error, ")) from None


@dataclass(frozen=True)
class Planned:
    """One trial to be."""

    subject: int
    """Its place in ``Experiment.labels``."""

    value: float | None
    round: int


def plan(experiment: Experiment) -> list[Planned]:
    """All trials, interleaved, each second round in reverse: in a fixed order, one measured twice beats itself."""
    found = []
    for number in range(experiment.rounds):
        order = list(range(len(experiment.labels)))
        for value in experiment.values:
            found += [Planned(one, value, number) for one in (reversed(order) if number % 2 else order)]
    return found


def completed(given: Experiment, built_in: Mapping[str, Experiment]) -> Experiment:
    """With the fields of the built-in experiment whose name it has, where it has none of its own."""
    base = built_in.get(given.name) if given.name and not given.variants else None
    if base is None:
        return given
    own = given.model_dump(by_alias=True, exclude_unset=True)
    return Experiment.model_validate(base.model_dump(by_alias=True, exclude_unset=True) | own)
