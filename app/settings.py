"""The app's settings: options of ``echodeck serve``, or ``ECHODECK_...`` in the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from echodeck import NO_TOKEN, expand_user, is_token

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IN_MEMORY = ":memory:"

NODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
"""Without dots: the ids of a node's connections and exceptions are its name, a dot and a number."""


def default_state() -> str:
    """Raises:
    RuntimeError: there is no home directory.
    """
    return str(user_state_path("echodeck") / "echodeck.sqlite3")


def _token(text: str) -> SecretStr | None:
    """Without the newline with which a file ends; None for an empty one.

    Raises:
        ValueError: no HTTP header can carry it. The message does not show it.
    """
    token = text.rstrip("\r\n")
    if token and not is_token(token):
        raise ValueError(NO_TOKEN)
    return SecretStr(token) if token else None


def _token_in(file: Path | None) -> SecretStr | None:
    if file is None:
        return None
    try:
        token = _token(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the token's file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the token's file {file}: {NO_TOKEN}") from None
    if token is None:
        raise ValueError(f"the token's file {file} is empty")
    return token


def _expanded(path: str | Path) -> Path:
    try:
        return expand_user(path)
    except OSError as error:
        raise ValueError(error.strerror) from None


def _environment() -> dict[str, str]:
    """What is set as ECHODECK_PORT and so on, in any case; what is empty is not set.

    Without what Kubernetes sets for a Service of the name echodeck: ECHODECK_PORT=tcp://10.0.0.1:8000.
    """
    found = {
        name.lower().removeprefix("echodeck_"): value
        for name, value in os.environ.items()
        if name.lower().startswith("echodeck_") and value
    }
    if re.match(r"(tcp|udp|sctp)://", found.get("port", "")):
        del found["port"]
    return found


class Settings(BaseModel):
    """Times in seconds. What is not given is taken from the environment."""

    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True, validate_default=True)

    def __init__(self, **given: Any) -> None:
        super().__init__(**_environment() | given)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    state: Annotated[str, Field(min_length=1)] = Field(default_factory=default_state)
    config: Path | None = None
    ports: range = range(1024, 65536)
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    token: SecretStr | None = None
    viewer_token: SecretStr | None = None
    token_file: Path | None = None
    viewer_token_file: Path | None = None
    trust_network: bool = False
    allowed_hosts: frozenset[str] = frozenset()
    root_path: str = ""
    proxies: tuple[Network, ...] = ()
    connections: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    streams: Annotated[int, Field(ge=1, le=10_000)] = 100
    terminals: Annotated[int, Field(ge=0, le=100_000)] = 1000
    journal_entries: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    journal_exceptions: Annotated[int, Field(ge=100, le=100_000)] = 1_000
    journal_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    quiet: bool = False
    ends_with: Annotated[int, Field(gt=0)] | None = None
    fleet: tuple[str, ...] = ()
    node: Annotated[str, Field(pattern=NODE_PATTERN)] | None = None
    advertise: str | None = None
    serve_on: str = "127.0.0.1"
    fleet_user: str | None = None
    fleet_password: SecretStr | None = None
    fleet_ca: Path | None = None
    fleet_cert: Path | None = None
    fleet_key: Path | None = None
    lease: Annotated[int, Field(ge=2, le=60)] = 4
    renew: Annotated[float, Field(gt=0, le=30)] = 0.5
    fence: Annotated[float, Field(gt=0, le=59)] = 3.0
    rebalance: Literal["on", "off"] = "on"
    lab_targets: bool = False
    stop_grace: Annotated[float, Field(gt=0, le=2.5)] = 2.0

    @field_validator("host")
    @classmethod
    def _plain(cls, value: str) -> str:
        return value.lower().removesuffix(".")  # names are the same in any case, and with the root's dot

    @field_validator("state")
    @classmethod
    def _kept_somewhere(cls, value: str) -> str:
        return value if value == IN_MEMORY else str(_expanded(value))

    @field_validator("config", "token_file", "viewer_token_file", "fleet_ca", "fleet_cert", "fleet_key")
    @classmethod
    def _found(cls, value: Path | None) -> Path | None:
        return None if value is None else _expanded(value)

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

    @field_validator("root_path")
    @classmethod
    def _mounted(cls, value: str) -> str:
        path = value.strip("/")
        if (path and not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)*", path, re.ASCII)) or {".", ".."} & set(path.split("/")):
            raise ValueError("must be a path such as /lab/echodeck, of letters, digits, dots and dashes")
        return f"/{path}" if path else ""

    @field_validator("proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        given = value.split(",") if isinstance(value, str) else value
        try:
            return tuple(ipaddress.ip_network(one.strip() if isinstance(one, str) else one) for one in given if one)
        except ValueError as error:
            raise ValueError(f"must be addresses or networks such as 127.0.0.1,10.0.0.0/8: {error}") from None

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        return frozenset(name.strip().lower() for name in names if name.strip())

    @field_validator("fleet", mode="before")
    @classmethod
    def _engines(cls, value: Any) -> Any:
        urls = [one.strip() for one in (value.split(",") if isinstance(value, str) else value) if one.strip()]
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise ValueError(f"{url!r} is no URL of etcd such as http://10.0.0.1:2379")
        return tuple(urls)

    @field_validator("advertise")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("must be a URL by which the other nodes reach this one, such as http://10.0.0.1:8000")
        return value.rstrip("/") if value else value

    @field_validator("token", "viewer_token")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        return _token(value.get_secret_value()) if value else None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.token = self.token or _token_in(self.token_file)
        self.viewer_token = self.viewer_token or _token_in(self.viewer_token_file)
        if self.viewer_token and not self.token:
            raise ValueError("ECHODECK_VIEWER_TOKEN needs ECHODECK_TOKEN: without it nobody could change anything")
        if self.viewer_token and self.token == self.viewer_token:
            raise ValueError("ECHODECK_VIEWER_TOKEN must differ from ECHODECK_TOKEN")
        if self.fleet:
            self._fits_a_fleet()
        return self

    def _fits_a_fleet(self) -> None:
        if self.node is None:
            raise ValueError("a fleet's node needs a name: --node")
        if self.config is not None:
            raise ValueError("--config is for an app alone; declare a fleet's servers with `echodeck apply`")
        if not self.renew * 2 <= self.fence <= self.lease * 0.8:
            raise ValueError(
                "--renew, --fence and --lease do not fit: two renewals must fit before the fence, and the fence must "
                "come at least a fifth of the lease before its end, as clocks differ"
            )

    @property
    def beyond_loopback(self) -> bool:
        """Whether anything may listen beyond loopback."""
        return self.token is not None or self.trust_network

    @property
    def state_path(self) -> Path | None:
        """The state file; None if the state is kept in memory only."""
        return None if self.state == IN_MEMORY else Path(self.state)
