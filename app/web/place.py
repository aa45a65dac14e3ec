"""Where its readers reach the app, which may be behind a reverse proxy: under a path, by another name, over TLS."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import Scope

from app.settings import Network

_ROOT: ContextVar[str] = ContextVar("root", default="")

FORWARDED_HOST, FORWARDED_PROTO, FORWARDED_FOR = "x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"
SCHEMES = {"http": {"http": "http", "https": "https"}, "websocket": {"http": "ws", "https": "wss"}}


def root() -> str:
    """The path under which the reader of the present request reaches the app; empty for the host's own root."""
    return _ROOT.get()


def at(path: str) -> str:
    """The reader's path for one of ours, such as ``/servers``."""
    return root() + path


def own_path(scope: Scope) -> str:
    """Ours for the reader's."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


class Place:
    """``root_path`` is where the proxy mounts the app: the proxy may cut it off the path of a request, or not.
    ``proxies`` are the only ones whose word is taken for what the reader asked for."""

    def __init__(self, root_path: str = "", proxies: Sequence[Network] = ()) -> None:
        self._root_path = root_path
        self._proxies = proxies

    def of(self, scope: Scope) -> Scope:
        """The request as its reader sent it. From now on ``root`` and ``at`` are about it."""
        _ROOT.set(self._root_path)
        if self._root_path:
            path = scope["path"]
            if not (path + "/").startswith(self._root_path + "/"):
                path = self._root_path + path
            elif path == self._root_path:
                path += "/"
            scope = {**scope, "root_path": self._root_path, "path": path}
        if self._is_proxy((scope.get("client") or [""])[0]):
            scope = self._forwarded(scope)
        return scope

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies:
            return False
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:  # of a Unix socket
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._proxies)

    def _forwarded(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        scheme = SCHEMES[scope["type"]].get(headers.get(FORWARDED_PROTO, "").strip().lower(), scope["scheme"])
        kept = scope["headers"]
        if host := headers.get(FORWARDED_HOST, "").strip():
            kept = [(name, value) for name, value in kept if name != b"host"] + [(b"host", host.encode("latin-1"))]
        chain = [one.strip() for one in headers.get(FORWARDED_FOR, "").split(",") if one.strip()]
        readers = [one for one in chain if not self._is_proxy(one)]  # the last is whom the outermost proxy of ours saw
        client = (readers[-1], 0) if readers else scope["client"]
        return {**scope, "scheme": scheme, "headers": kept, "client": client}
