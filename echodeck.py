"""Echodeck for other programs: REST as a typed client, and real echo servers for tests.

    with echodeck.running() as deck:  # an app of its own, in a process of its own
        server = deck.create("asyncio", idle_timeout=5)
        socket.create_connection(server.address)
        print(deck.connections(server.name))

    deck = echodeck.Client("http://127.0.0.1:8000")  # an app that runs already

With pytest nothing is imported: a test with the parameter ``echo_server`` gets a server (``pytest_echodeck``).
The models have the fields of REST, with the same names; times are aware, in UTC.
"""

from __future__ import annotations

import base64
import errno
import gc
import ipaddress
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote, unquote, urlencode, urlsplit

if TYPE_CHECKING:  # otherwise imported by the first client: the app imports this module too, and needs no client
    import ssl

    import httpcore

HERE = Path(__file__).parent
HOUSE = HERE / "_house"
"""The app's folder in an installed package, so that its modules shadow no others; a checkout has it in HERE."""

SECONDS_TO_CONNECT = 5.0
SECONDS_TO_PLAY = 90.0
SECONDS_TO_ANSWER = 30.0
SECONDS_TO_END = 10.0
LONGEST_DRAIN = 3600.0
SILENCE = 60.0
"""Seconds without a line after which a feed counts as lost; the app sends a comment every 15 s."""

SECONDS_OF_REUSE = 2.0
"""For which a connection is kept for a further request. The app keeps it longer: who closes it is always the client."""

CLOCKS_AGREE = timedelta(seconds=3)
"""A smaller difference is that of whole seconds, and of the way."""

SAFE = {"GET", "HEAD"}
"""Methods of requests that may be sent again if a connection ends before the answer."""

PORTS = {"http": 80, "https": 443}
IN_PATHS = "/%:@!$&'()*+,;=~"
"""Characters of a URL's path that are not escaped, besides letters and digits (RFC 3986, 3.3)."""


class Refused(Exception):
    """The app refused: HTTP ``status``, ``name`` of the refusal such as ``port-taken``, ``more`` of its fields."""

    def __init__(self, status: int, name: str, detail: str, more: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.more = more


class Unreachable(Exception):
    """No app answers at the address, or it has ended, or another program answers."""


class Shape:
    """A read-only object of the app's JSON; fields of a later version are kept.

    Not a pydantic model, although it has the names of its methods: importing pydantic takes longer than all the rest of
    a command.
    """

    def __init__(self, /, **fields: Any) -> None:
        """Raises:
        ValueError: a field is missing or has another type.
        """
        values = {}
        for name, parse in self._parsers().items():
            if name in fields:
                values[name] = parse(fields[name])
            elif hasattr(type(self), name):
                values[name] = getattr(type(self), name)
            else:
                raise ValueError(f"{name} is missing")
        more = {name: value for name, value in fields.items() if not (name in values or hasattr(type(self), name))}
        vars(self).update(values | more)

    @classmethod
    def model_validate(cls, fields: Any) -> Self:
        return cls(**_expect(dict, fields))

    def model_dump(self, mode: Literal["python", "json"] = "python") -> dict[str, Any]:
        """The fields by name; ``json``: times are text, as in REST."""
        dumped: dict[str, Any] = _dump(vars(self), mode)
        return dumped

    @classmethod
    @cache
    def _parsers(cls) -> dict[str, Callable[[Any], Any]]:
        return {name: _parser(hint) for name, hint in get_type_hints(cls).items()}

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is read-only")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is read-only")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def _parser(hint: Any) -> Callable[[Any], Any]:
    """Makes a field's value of JSON, or raises ValueError."""
    arguments = get_args(hint)
    if hint is Any:
        return lambda value: value
    if get_origin(hint) is Literal:
        return lambda value: arguments[arguments.index(value)]
    if NoneType in arguments:
        parse = _parser(arguments[0])
        return lambda value: None if value is None else parse(value)
    if get_origin(hint) is list:
        parse = _parser(arguments[0])
        return lambda value: [parse(one) for one in _expect(list, value)]
    if hint is datetime:
        return lambda value: value if isinstance(value, datetime) else datetime.fromisoformat(_expect(str, value))
    if hint is float:
        return lambda value: float(value) if type(value) is int else _expect(float, value)
    if issubclass(get_origin(hint) or hint, Shape):
        return lambda value: value if isinstance(value, hint) else hint.model_validate(value)
    return lambda value: _expect(get_origin(hint) or hint, value)


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def _dump(value: Any, mode: str) -> Any:
    match value:
        case Shape():
            return _dump(vars(value), mode)
        case dict():
            return {name: _dump(one, mode) for name, one in value.items()}
        case list():
            return [_dump(one, mode) for one in value]
        case datetime() if mode == "json":
            return value.isoformat().replace("+00:00", "Z")
    return value


class Variant(Shape):
    name: str
    step: int | None
    title: str
    lesson: str
    runs_on: Literal["loop", "thread"]
    clients: str
    answers: str


class Counts(Shape):
    open: int
    total: int
    waiting: int
    peak: int
    turned_away: int


class Exit(Shape):
    at: datetime
    reason: str
    message: str


class Server(Shape):
    """One server at the time of the request."""

    name: str
    variant: str
    host: str
    port: int
    state: str
    desired: Literal["running", "stopped"]
    since: datetime
    runs_on: Literal["loop", "thread"]
    task: str | None
    restarts: int
    connections: Counts
    bytes_in: int
    bytes_out: int
    exceptions: int
    loop_share: float | None
    cpu_seconds: float | None
    exit: Exit | None
    spec: dict[str, Any]
    node: str | None = None
    on: str | None = None
    epoch: int | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The address for a client on the same machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port  # noqa: S104  # compared with


class Connection(Shape):
    id: str
    server: str
    peer: str
    local: str
    state: Literal["open", "waiting", "peer-closed"]
    since: datetime
    bytes_in: int
    bytes_out: int
    unread: int
    idle: float | None
    rtt_us: int | None


class Raised(Shape):
    """Equal exceptions of one run of a server: their number, and the latest in full."""

    id: str
    node: str | None = None
    at: datetime
    first_at: datetime
    count: int
    server: str
    variant: str
    connection: str | None
    peer: str | None
    type: str
    message: str
    traceback: str
    input: str | None
    fatal: bool


class Node(Shape):
    """One node of a fleet; what only itself knows is None if it does not answer."""

    name: str
    url: str
    state: Literal["ready", "draining", "fenced", "lost"]
    since: datetime | None
    version: str
    servers: int | None
    connections: int | None
    loop_share: float | None
    lease_left: float | None
    serves_on: str
    etcd: dict[str, Any] | None = None


class Progress(Shape):
    trial: int
    of: int
    seconds_left: float


class Experiment(Shape):
    """How far an experiment of the lab is."""

    id: str
    name: str | None
    question: str
    state: Literal["waiting", "running", "done", "cancelled", "failed", "cut"]
    reason: str | None
    progress: Progress
    variants: list[str]
    factor: str | None
    started: datetime
    ended: datetime | None

    @property
    def over(self) -> bool:
        return self.state not in {"waiting", "running"}


class News(NamedTuple):
    """One event of the feed, such as ``snapshot``, ``server``, ``connection-removed``."""

    kind: str
    data: dict[str, Any]


T = TypeVar("T", bound=Shape)


class Client:
    """REST of one app. Close it, or use it in a ``with``.

    Each call raises ``Refused`` when the app refuses, and ``Unreachable`` when it does not answer.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", token: str | None = None, patience: float = SECONDS_TO_ANSWER
    ) -> None:
        """``patience``: the timeout of an answer in seconds. A name and a password in ``url`` are for what is in front
        of the app, and exclude a token.

        Raises:
            ValueError: no HTTP header can carry this token, or there is a password, too.
            UnicodeError: the host in ``url`` is no name that can be looked up.
        """
        try:
            self.url, password = _without_password(url.rstrip("/"))
        except ValueError as error:
            raise Unreachable(f"this is no address: {error}") from None
        if token and not is_token(token):
            raise ValueError(NO_TOKEN)
        if token and password:
            raise ValueError("with a token, the address can have no name and password: there is one header for both")
        self.token = token
        self.proxy = _proxy(self.url)
        self.headers = {"Authorization": f"Bearer {token}"} if token else password
        """What every request has, those for a WebSocket, too."""
        self._ahead = timedelta()
        self.tls = _tls() if urlsplit(self.url).scheme == "https" else None
        self._patience = patience
        _address(self.url)  # raises UnicodeError here, not with the first request
        try:
            proxy = _pool_proxy(self.proxy) if self.proxy else None
        except (ImportError, ValueError) as error:
            raise Unreachable(f"the proxy for {self.url} in the environment cannot be used: {error}") from None
        import httpcore  # not httpx: importing that takes twice as long, and imports rich and pygments for its commands

        self._http = httpcore.ConnectionPool(self.tls, proxy, max_connections=None, keepalive_expiry=SECONDS_OF_REUSE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def now(self) -> datetime:
        """The time by the app's clock, as its latest answer had it: ages are told by it."""
        return datetime.now(UTC) + self._ahead

    def variants(self) -> list[Variant]:
        return self._all("/variants", Variant)

    def source(self, variant: str) -> str:
        return self._call("GET", f"/variants/{_part(variant, 'variant')}/source").text()

    def servers(self) -> list[Server]:
        return self._all("/servers", Server)

    def server(self, name: str) -> Server:
        return self._server("GET", _path(name))

    def create(self, variant: str, port: int = 0, **spec: Any) -> Server:
        """Returns when it listens, or at once with ``start=False``; ``spec`` has more fields of ``POST /servers``."""
        return self._server("POST", "/servers", fields={"variant": variant, "port": port, **spec})

    def change(self, name: str, **changes: Any) -> Server:
        return self._server("PATCH", _path(name), fields=changes)

    def start(self, name: str) -> Server:
        return self._server("POST", _path(name, "start"))

    def stop(self, name: str, drain: float = 0.0) -> Server:
        """``drain``: seconds for clients to end by themselves, 3,600 at most."""
        patience = SECONDS_TO_ANSWER + min(LONGEST_DRAIN, max(0.0, drain))
        return self._server("POST", _path(name, "stop"), params={"drain": drain}, timeout=patience)

    def restart(self, name: str) -> Server:
        return self._server("POST", _path(name, "restart"))

    def remove(self, name: str) -> None:
        self._call("DELETE", _path(name))

    def connections(self, server: str | None = None) -> list[Connection]:
        return self._all("/connections", Connection, server=server)

    def hang_up(self, connection: str) -> None:
        self._call("DELETE", f"/connections/{_part(connection, 'connection')}")

    def exceptions(self, server: str | None = None, **filters: str | None) -> list[Raised]:
        """The newest first. ``filters``: ``type``, and ``q`` for a text to search for."""
        return self._all("/exceptions", Raised, server=server, **filters)

    def forget_exceptions(self, server: str | None = None) -> None:
        self._call("DELETE", "/exceptions", params={"server": server} if server else {})

    def loop(self) -> dict[str, Any]:
        return dict(self._call("GET", "/loop").fields)

    def nodes(self) -> list[Node]:
        """Of the fleet; none for an app alone."""
        return self._call("GET", "/nodes").items(Node)

    def drain(self, node: str) -> Node:
        """Returns when its floating servers were given to other nodes."""
        return self._node(node, "drain")

    def resume(self, node: str) -> Node:
        return self._node(node, "resume")

    def measure(self, experiment: Mapping[str, Any] | str) -> Experiment:
        """Begin an experiment: its fields, or the name of a built-in one."""
        given = {"name": experiment} if isinstance(experiment, str) else dict(experiment)
        return self._call("POST", "/lab/experiments", fields=given).one(Experiment)

    def experiments(self) -> list[Experiment]:
        """The newest first."""
        return self._all("/lab/experiments", Experiment)

    def experiment(self, id: str) -> Experiment:
        return self._call("GET", f"/lab/experiments/{_part(id, 'experiment')}").one(Experiment)

    def end_experiment(self, id: str) -> None:
        """Cancel it; forget it if it is over."""
        self._call("DELETE", f"/lab/experiments/{_part(id, 'experiment')}")

    def result(self, id: str) -> dict[str, Any]:
        """What came out of an experiment, so far."""
        return self._call("GET", f"/lab/results/{_part(id, 'experiment')}").fields

    def built_in_experiments(self) -> list[dict[str, Any]]:
        return [dict(one) for one in self._call("GET", "/lab/built-in").fields.get("items", [])]

    def check_ready(self) -> None:
        """Returns if the app takes work, as ``/readyz`` says; raises ``Refused`` or ``Unreachable`` if not."""
        self._call("GET", "/readyz")

    def events(self, **parameters: str) -> Iterator[News]:
        """The feed, from a snapshot to its end; ``parameters`` are those of ``GET /events``."""
        return self._stream("/events", parameters)

    def calls(self, name: str) -> Iterator[News]:
        """A server's calls as it makes them: ``begin``, ``calls``, and ``end``."""
        return self._stream(_path(name, "calls"), {})

    def record(self, name: str, seconds: float = 5.0) -> dict[str, Any]:
        """Record a server's calls; returns what the recording says of itself once the time is over."""
        patience = SECONDS_TO_ANSWER + max(0.0, seconds)
        path = _path(name, "recordings")
        return self._call("POST", path, fields={"seconds": seconds}, timeout=patience).fields

    def recordings(self) -> list[dict[str, Any]]:
        """Without their calls; the newest first."""
        return [dict(one) for one in self._call("GET", "/recordings").fields.get("items", [])]

    def recording(self, id: str) -> dict[str, Any]:
        return self._call("GET", f"/recordings/{_part(id, 'recording')}").fields

    def forget_recording(self, id: str) -> None:
        self._call("DELETE", f"/recordings/{_part(id, 'recording')}")

    def scripts(self) -> list[dict[str, Any]]:
        """The scripts of clients that come with the app."""
        return [dict(one) for one in self._call("GET", "/scripts").fields.get("items", [])]

    def compare(self, script: str, variants: Sequence[str]) -> dict[str, Any]:
        """Play a script, as TOML or by name, to fresh servers of some variants; with all that was recorded."""
        given = {"script": script, "variants": list(variants)}
        made = self._call("POST", "/comparisons", fields=given, timeout=SECONDS_TO_PLAY).fields
        return self._call("GET", f"/comparisons/{_part(str(made.get('id')), 'comparison')}").fields

    def comparison_as_html(self, id: str) -> str:
        """As a file that needs nothing else."""
        path = f"/comparisons/{_part(id, 'comparison')}"
        return self._call("GET", path, params={"format": "html"}, timeout=SECONDS_TO_PLAY).text()

    # Requests

    def _stream(self, path: str, parameters: Mapping[str, str]) -> Iterator[News]:
        request = self._request("GET", path, params=parameters, timeout=SILENCE)
        try:
            with self._http.stream(**request) as response:
                answer = _Answer(request, response)
                self._check(answer)
                if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                    raise _not_an_echodeck(answer)
                yield from _events(response.iter_stream())
        except _connection_errors() as error:
            raise Unreachable(f"{self.url} went away: {error_text(error)}") from error
        except ValueError as error:
            raise Unreachable(f"what answers at {self.url} is no Echodeck") from error

    def _call(self, method: str, path: str, **more: Any) -> _Answer:
        import httpcore

        request = self._request(method, path, **more)
        try:
            try:
                response = self._http.request(**request)
            except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
                if method not in SAFE:
                    raise
                response = self._http.request(**request)  # what was kept from before has just ended
        except _connection_errors() as error:
            raise Unreachable(f"nothing answers at {self.url}: {error_text(error)}") from error
        answer = _Answer(request, response)
        self._note_time(answer)
        self._check(answer)
        return answer

    def _request(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, fields: Any = None, timeout: float = 0.0
    ) -> dict[str, Any]:
        """Arguments for the connection pool; ``fields`` are sent as JSON, ``timeout`` is in seconds."""
        seconds = timeout or self._patience
        address = _address(self.url, f"{path}?{urlencode(params)}" if params else path)
        host = f"[{address.host.decode()}]" if b":" in address.host else address.host.decode()
        host = host if address.port is None else f"{host}:{address.port}"
        headers = {"Host": host, "Accept-Encoding": "identity", **self.headers}
        content = None if method == "GET" else b""
        if fields is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
        timeouts = {"connect": min(seconds, SECONDS_TO_CONNECT), "read": seconds, "write": seconds, "pool": seconds}
        return {
            "method": method,
            "url": address,
            "headers": headers,
            "content": content,
            "extensions": {"timeout": timeouts},
        }

    def _note_time(self, answer: _Answer) -> None:
        from email.utils import parsedate_to_datetime

        with suppress(KeyError, TypeError, ValueError):
            ahead = parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)
            if abs(ahead) > CLOCKS_AGREE:
                self._ahead = ahead

    def _check(self, answer: _Answer) -> None:
        if not 200 <= answer.status < 300:
            raise refusal(answer.status, answer.body(), bool(self.headers)) or _not_an_echodeck(answer)

    def _server(self, method: str, path: str, **request: Any) -> Server:
        return self._call(method, path, **request).one(Server)

    def _node(self, name: str, action: str) -> Node:
        return self._call("POST", f"/nodes/{_part(name, 'node')}/{action}").one(Node)

    def _all(self, path: str, shape: type[T], **filters: str | None) -> list[T]:
        parameters = {name: value for name, value in filters.items() if value is not None}
        found: list[T] = []
        after: dict[str, str] = {}
        while True:
            answer = self._call("GET", path, params={"limit": "1000"} | parameters | after)
            found += answer.items(shape)
            following = answer.fields.get("next")
            if following is None:
                return found
            after = {"after": str(following)}


def _path(name: str, action: str = "") -> str:
    return "/".join(filter(None, ("/servers", _part(name, "server"), action)))


def _part(name: str, what: str) -> str:
    """A name as part of a path; some names would be another path."""
    if name in {"", ".", ".."}:
        raise Refused(404, "unknown", f"There is no {what} {name!r}.", {"what": what})
    return quote(name, safe="")


def expand_user(path: str | Path) -> Path:
    """The path, with the home directory in the place of ``~`` or ``~user``.

    Raises:
        OSError: there is no such user, or no home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        reason = f"no home directory is known for {Path(path).parts[0]}"
        raise FileNotFoundError(errno.ENOENT, reason, str(path)) from None


def error_text(error: Exception) -> str:
    """The message of an error, without its number."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


NO_TOKEN = "it has letters that no token has; an HTTP header carries visible ASCII without spaces"  # noqa: S105  # words


def is_token(text: str) -> bool:
    """Whether an HTTP header can carry it (RFC 6750, 2.1)."""
    return re.fullmatch(r"[!-~]+", text) is not None


def is_near(url: str) -> bool:
    """Whether the address is on this machine; a proxy would connect to another one."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    """The address, and the header of what stood before its host.

    Raises:
        ValueError: the port is no number.
    """
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return url, {}
    both = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    header = {"Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), header


def _address(url: str, path: str = "") -> httpcore.URL:
    """Raises:
    UnicodeError: the host is no name that can be looked up.
    """
    import httpcore

    parts = urlsplit(url)
    return httpcore.URL(
        scheme=parts.scheme.encode(),
        host=(parts.hostname or "").encode("idna"),
        port=None if parts.port == PORTS.get(parts.scheme) else parts.port,
        target=f"{quote(parts.path, safe=IN_PATHS)}{path}".encode(),
    )


def _proxy(url: str) -> str | None:
    """The environment's proxy for this address. Those for others may be as they like."""
    parts = urlsplit(url)
    if is_near(url) or not parts.hostname:
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    if proxy_bypass(parts.hostname):
        return None
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _pool_proxy(url: str) -> httpcore.Proxy:
    """Raises:
    ValueError: it is no proxy's address.
    ImportError: a proxy of this kind needs a package that is not installed.
    """
    import httpcore

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", "socks5", "socks5h"}:
        raise ValueError(f"{parts.scheme!r} is no kind of proxy")
    if parts.scheme.startswith("socks"):
        import_module("socksio")
    password = unquote(parts.username or "").encode(), unquote(parts.password or "").encode()
    return httpcore.Proxy(_address(url), auth=password if any(password) else None)


def _connection_errors() -> tuple[type[Exception], ...]:
    """Raised by the connection pool where no app answers."""
    import httpcore

    return (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.TimeoutException,
        httpcore.UnsupportedProtocol,
    )


def _tls() -> ssl.SSLContext:
    """Trusts the usual authorities, and those that SSL_CERT_FILE and SSL_CERT_DIR name if they can be read."""
    import ssl

    import certifi

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    context.load_default_certs()
    return context


def refusal(status: int, body: bytes, token_given: bool) -> Refused | None:
    """The refusal in a problem (RFC 9457); None if the problem is not Echodeck's."""
    try:
        problem = json.loads(body) | ({"token_given": True} if token_given else {})
        return Refused(status, problem.pop("type").rpartition("/")[2], problem.pop("detail"), problem)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


class _Answer:
    """The response to a request of a client."""

    def __init__(self, request: Mapping[str, Any], response: httpcore.Response) -> None:
        self.url = bytes(request["url"]).decode()
        self.status = response.status
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        self._response = response

    def body(self) -> bytes:
        return self._response.read()

    def text(self) -> str:
        return self.body().decode("utf-8", "replace")

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The JSON object in the body."""
        try:
            return dict(_expect(dict, json.loads(self.body())))
        except ValueError:
            raise _not_an_echodeck(self) from None

    def one(self, shape: type[T]) -> T:
        return self._parse(shape, self.fields)

    def items(self, shape: type[T]) -> list[T]:
        listed = self.fields.get("items")
        return [self._parse(shape, one) for one in (listed if isinstance(listed, list) else [None])]

    def _parse(self, shape: type[T], fields: Any) -> T:
        try:
            return shape.model_validate(fields)
        except ValueError:
            raise _not_an_echodeck(self) from None


def _not_an_echodeck(answer: _Answer) -> Unreachable:
    return Unreachable(f"what answers at {answer.url} is no Echodeck ({answer.status})")


def _events(chunks: Iterable[bytes]) -> Iterator[News]:
    """Server-sent events, with JSON as their data (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Raises:
        ValueError: the data is no JSON.
    """
    kind, data, rest = "message", "", b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.rstrip(b"\r").decode("utf-8", "replace").partition(":")
            if name == "event":
                kind = value.removeprefix(" ")
            elif name == "data":
                data += value
            elif not line.strip():
                if data:  # else it has only the reconnection time
                    yield News(kind, json.loads(data))
                kind, data = "message", ""


class EchoServer:
    """A server for one test, from the pytest fixture ``echo_server``.

    ``address`` is the host and port to connect to.
    """

    def __init__(self, deck: Client, variant: str, **spec: Any) -> None:
        self.deck = deck
        created = deck.create(variant, **spec)
        self.name = created.name
        self.address = created.address
        self.host, self.port = created.address

    def now(self) -> Server:
        """The server's present state, connections, bytes and so on."""
        return self.deck.server(self.name)

    def connections(self) -> list[Connection]:
        return self.deck.connections(self.name)

    def exceptions(self) -> list[Raised]:
        return self.deck.exceptions(self.name)

    def stop(self) -> None:
        """After this connections are refused."""
        self.deck.stop(self.name)

    def start(self) -> None:
        """Listen again, on the same port."""
        self.deck.start(self.name)


@contextmanager
def running(*options: str) -> Iterator[Client]:
    """An app in a process of its own, on a free port, without a state file; ``options`` are those of ``serve``.

    It ends with this process, even if that is killed. Ctrl+C does not reach it: who made it ends it.

    Raises:
        Unreachable: it did not start; the reason is on stderr.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHODECK_")}
    command = [sys.executable, __file__, "serve", "--port", "0", "--state", ":memory:", "--json"]
    with subprocess.Popen(  # noqa: S603
        [*command, "--ends-with", str(os.getpid()), *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        process_group=0,
    ) as process:
        try:
            import httpcore  # noqa: F401  # for the client, while the app starts

            assert process.stdout
            first_line = process.stdout.readline()
            if not first_line:
                raise Unreachable(f"echodeck ended as it started, with {process.wait()}")
            with Client(json.loads(first_line)["url"]) as client:
                yield client
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """The program ``echodeck``."""
    gc.set_threshold(100_000)  # imports make many objects and hardly any garbage; ``serve`` sets its own later
    if sys.flags.optimize > 1 and "PYTHONOPTIMIZE" in os.environ:  # meant for others: here docstrings are shown
        without = {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], without)  # noqa: S606  # itself
    if sys.argv[1:2] in (["serve"], ["demo"]):  # until it is handled, SIGHUP waits: it may be sent while this imports
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    for descriptor in range(3):  # the next socket would get the number of a closed one, and be written to
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115, PTH123  # as long as the program
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123
    sys.path.insert(0, str(HOUSE if HOUSE.is_dir() else HERE))
    try:
        from app.cli import main as program

        program()
    except KeyboardInterrupt:  # during the imports
        sys.exit(130)


if __name__ == "__main__":
    main()
