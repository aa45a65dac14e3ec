"""The access rules, checked before any route, for HTTP and WebSockets alike.

A page on loopback can still be reached by every site that its user's browser visits. Three checks refuse such requests:
the Host header must be a name of this app (a foreign name that resolves to 127.0.0.1 is DNS rebinding); a request that
changes something or opens a WebSocket must come from the app's own pages (Origin, RFC 6454; browsers do not apply the
same-origin policy to WebSockets); and if a token is set, nothing is answered without it. Programs other than browsers
send no Origin, and need none.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.errors import ForeignHost, ForeignOrigin, ReadOnly, TokenRequired
from app.settings import Settings
from app.web.guesses import Guesses

Role = Literal["owner", "viewer"]

COOKIE = "echodeck"
"""The prefix of the cookies' names; the page's port follows, because the ports of a host share its cookies."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROBES = frozenset({"/healthz", "/readyz"})
"""They tell nothing, so they answer everybody: whoever watches the app's health may call it by any name, or by none."""

READING = re.compile(r"/events|/connections/[^/]+/tap|/servers/[^/]+/calls")
"""WebSockets that only read: for the viewer too. Their Origin is checked as that of all others."""

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/fleet/proof", "/login", "/logout", "/ui/choose"})
OPEN_FOLDERS = ("/static/", "/ui/words/")
DEFAULT_PORTS = {"http": 80, "https": 443}

RESPONSE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: under that policy a form is sent with the Origin "null".
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::(?P<port>\d{1,5}))?")


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address or localhost; other names are not resolved."""
    host = _plain(host)
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(host: str) -> str:
    """A name in its one form: names are the same in any case, and with the root's dot at the end (RFC 1034, 3.1)."""
    return host.lower().removesuffix(".")


class Rules:
    """The checks, for one app's settings. ``names`` are more host names of the app."""

    def __init__(self, settings: Settings, names: frozenset[str] = frozenset()) -> None:
        self._names = {_plain(name) for name in settings.allowed_hosts | names | {settings.host}}
        self._any_literal = not is_loopback(settings.host)
        self._tokens: list[tuple[Role, str]] = []
        self.guesses = Guesses()
        if settings.token:
            self._tokens.append(("owner", settings.token.get_secret_value()))
        if settings.viewer_token:
            self._tokens.append(("viewer", settings.viewer_token.get_secret_value()))

    @property
    def guarded(self) -> bool:
        """Whether there is a token at all."""
        return bool(self._tokens)

    def check(self, method: str, path: str, headers: Headers, client: str = "") -> Role:
        """The caller's role. ``method`` is that of HTTP, or WEBSOCKET; ``client`` the caller's address.

        Raises:
            ForeignHost, ForeignOrigin, TokenRequired, TooManyGuesses, ReadOnly: the request is not permitted.
        """
        changes = method not in SAFE_METHODS
        if path in PROBES and not changes:
            return "viewer"
        name, port = self._check_host(headers)
        if changes:
            self._check_origin(headers, name, port)
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
            return "viewer"
        role = self.role(headers, client)
        if role is None:
            raise TokenRequired(
                "Send the token as `Authorization: Bearer TOKEN`, or log in at /login.",
                headers={"WWW-Authenticate": 'Bearer realm="echodeck"'},
            )
        if changes and role == "viewer" and not (method == "WEBSOCKET" and READING.fullmatch(path)):
            raise ReadOnly("The viewer token reads only; log in with the other token to change something.")
        return role

    def role(self, headers: Headers, client: str) -> Role | None:
        """The role of the request's token; if the app has no tokens, every caller is the owner.

        Raises:
            TooManyGuesses: from this address, or from all together.
        """
        if not self._tokens:
            return "owner"
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.role_of(given.strip(), client)
        roles = (self._known(session, value, client) for value in _sessions(headers))
        return next((role for role in roles if role), None)

    def role_of(self, token: str, client: str) -> Role | None:
        """Raises as ``role``."""
        return self._known(lambda known: known, token, client)

    def _known(self, form: Callable[[str], str], given: str, client: str) -> Role | None:
        self.guesses.check(client, given)
        role = self._first(form, given)
        self.guesses.note(client, given, right=role is not None)
        return role

    def _first(self, form: Callable[[str], str], given: str) -> Role | None:
        for role, token in self._tokens:
            if hmac.compare_digest(form(token).encode(), given.encode("utf-8", "surrogateescape")):
                return role
        return None

    def _check_host(self, headers: Headers) -> tuple[str, int | None]:
        given = headers.getlist("host")
        host = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if host is None or not self._is_ours(_plain(host["name"])):
            named = ", ".join(given) or "none"
            raise ForeignHost(
                f"The Host header ({named}) is not a name of this app; add it with --allowed-hosts if it should be.",
                host=named,
            )
        return _plain(host["name"]), int(host["port"]) if host["port"] else None

    def _is_ours(self, name: str) -> bool:
        if is_loopback(name) or name in self._names:
            return True
        if self._any_literal:  # an app on all addresses is reached by each of them; rebinding needs a name
            try:
                ipaddress.ip_address(name.strip("[]"))
            except ValueError:
                return False
            return True
        return False

    def _check_origin(self, headers: Headers, name: str, port: int | None) -> None:
        given = headers.getlist("origin")
        if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            raise ForeignOrigin("A page of another site may not do this.", origin=given[0] if given else None)
        if not given:
            return
        try:
            origin = urlsplit(given[0])
            default = DEFAULT_PORTS[origin.scheme]
            host = _plain(_bracketed(origin.hostname or ""))
            same = (origin.port or default) == (port or default) and (
                host == name or (is_loopback(host) and is_loopback(name))
            )
        except (ValueError, KeyError):
            same = False
        if not same or len(given) != 1:
            raise ForeignOrigin(f"A page of {given[0]} may not do this.", origin=given[0])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _sessions(headers: Headers) -> Iterator[str]:
    """The values of the app's cookies. Parsed by hand: other apps of the host share its cookies, in any syntax."""
    for header in headers.getlist("cookie"):
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            if name.startswith(COOKIE):
                yield value


def session(token: str) -> str:
    """The cookie after a login: it proves that the browser had the token, and does not contain the token."""
    return hmac.digest(token.encode(), b"echodeck session", "sha256").hex()
