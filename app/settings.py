"""The app's settings: options of ``echodeck serve``, or ``ECHODECK_...`` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_state_path
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

IN_MEMORY = ":memory:"


def default_state() -> str:
    return str(user_state_path("echodeck") / "echodeck.sqlite3")


class Settings(BaseSettings):
    """Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="ECHODECK_", extra="ignore")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    state: Annotated[str, Field(min_length=1)] = Field(default_factory=default_state)
    config: Path | None = None
    ports: Annotated[range, NoDecode] = range(1024, 65536)
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    token: SecretStr | None = None
    viewer_token: SecretStr | None = None
    trust_network: bool = False
    allowed_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    streams: Annotated[int, Field(ge=1, le=10_000)] = 100
    terminals: Annotated[int, Field(ge=0, le=100_000)] = 1000
    journal_entries: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    journal_exceptions: Annotated[int, Field(ge=100, le=100_000)] = 1_000
    journal_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    quiet: bool = False
    stop_grace: Annotated[float, Field(gt=0, le=2.5)] = 2.0

    @field_validator("ports", mode="before")
    @classmethod
    def _span(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        first, _, last = value.partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError:
            raise ValueError("must be a range such as 8000-8999") from None
        if not 1 <= low <= high <= 65535:
            raise ValueError("must be a range within 1-65535, the lower port first")
        return range(low, high + 1)

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        return frozenset(name.strip().lower() for name in names if name.strip())

    @field_validator("config", "token", "viewer_token", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.viewer_token and not self.token:
            raise ValueError("ECHODECK_VIEWER_TOKEN needs ECHODECK_TOKEN: without it nobody could change anything")
        if self.viewer_token and self.token == self.viewer_token:
            raise ValueError("ECHODECK_VIEWER_TOKEN must differ from ECHODECK_TOKEN")
        return self

    @property
    def beyond_loopback(self) -> bool:
        """Whether anything may listen beyond loopback."""
        return self.token is not None or self.trust_network

    @property
    def state_path(self) -> Path | None:
        """The state file; None if the state is kept in memory only."""
        return None if self.state == IN_MEMORY else Path(self.state).expanduser()
