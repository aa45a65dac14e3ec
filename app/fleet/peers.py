"""The other nodes, as this one speaks to them: by the REST that everybody uses, with the fleet's token.

An advertised URL may be wrong, or a foreigner's. So no token is sent there before both ends have proved to each other
that they have it (HMAC of a nonce, RFC 2104; the key is stretched by scrypt, RFC 7914, so that neither learns enough
to guess the token).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from typing import Any

import httpx

from app.errors import NodeLost, NodeSilent
from app.fleet.hop import HOP
from app.fleet.keys import NodeValue
from app.fleet.picture import Picture

log = logging.getLogger("echodeck.fleet")

PROOF_PATH = "/fleet/proof"

SECONDS_TO_CONNECT = 1.0
SECONDS_TO_ANSWER = 10.0


class Proofs:
    """What a node shows of its token without telling it."""

    def __init__(self, token: str) -> None:
        self._key = hashlib.scrypt(token.encode(), salt=b"echodeck fleet", n=2**14, r=8, p=1, dklen=32)

    def asking(self, nonce: str, life: str) -> str:
        return self._of("asks", nonce, life)

    def answering(self, nonce: str, life: str, node: str) -> str:
        return self._of("answers", nonce, life, node)

    def _of(self, *parts: str) -> str:
        return hmac.digest(self._key, "\n".join(parts).encode(), "sha256").hex()


class Peers:
    """``hops`` counts the calls that were passed on."""

    def __init__(self, node: str, picture: Picture, token: str | None) -> None:
        self.hops = 0
        self._node = node
        self._picture = picture
        self._token = token
        self.proofs = Proofs(token or "")
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._proved: dict[str, NodeValue] = {}
        self._proving: dict[str, asyncio.Lock] = {}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def value(self, node: str) -> NodeValue:
        """Raises:
        NodeLost: it is no node now.
        """
        known = self._picture.nodes.get(node)
        if known is None:
            raise NodeLost(f"The node {node!r} is gone.", node=node)
        found: NodeValue = known.value
        return found

    async def headers(self, node: str) -> dict[str, str]:
        """What proves to that node who calls, once it has proved who it is.

        Raises:
            NodeLost, NodeSilent: it is gone, or not what it should be.
        """
        value = self.value(node)
        async with self._proving.setdefault(node, asyncio.Lock()):
            if self._proved.get(node) != value:
                await self._prove(node, value)
                self._proved[node] = value
        found = {HOP: self._node}
        if self._token is not None:
            found["Authorization"] = f"Bearer {self._token}"
        return found

    async def ask(
        self,
        node: str,
        method: str,
        path: str,
        *,
        params: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = SECONDS_TO_ANSWER,
        stream: bool = False,
    ) -> httpx.Response:
        """The node's answer, of whatever status. With ``stream`` its body is yet to be read, and to be closed.

        Raises:
            NodeLost, NodeSilent: there is none.
        """
        own = await self.headers(node)
        client = self._client(self.value(node).url)
        timeout = httpx.Timeout(seconds, connect=SECONDS_TO_CONNECT, pool=seconds)
        request = client.build_request(
            method,
            self.value(node).url + path,
            params=params,
            content=content,
            headers={**(headers or {}), **own},
            timeout=timeout,
        )
        self.hops += 1
        return await self._answer(node, client, request, stream, seconds)

    async def _answer(
        self, node: str, client: httpx.AsyncClient, request: httpx.Request, stream: bool, seconds: float
    ) -> httpx.Response:
        sending = asyncio.ensure_future(client.send(request, stream=stream))
        try:
            while True:
                done, _ = await asyncio.wait({sending}, timeout=0.2)
                if done:
                    return sending.result()
                self.value(node)  # it may be lost meanwhile, and then nobody will answer
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NodeLost(f"The node {node!r} cannot be reached at {request.url.host}.", node=node) from error
        except httpx.TimeoutException as error:
            raise NodeSilent(f"The node {node!r} did not answer within {seconds:g} s.", node=node) from error
        except httpx.HTTPError as error:
            raise NodeLost(f"The node {node!r} broke off: {str(error) or type(error).__name__}.", node=node) from error
        finally:
            if not sending.done():
                sending.cancel()

    async def _prove(self, node: str, value: NodeValue) -> None:
        nonce = secrets.token_hex(16)
        client = self._client(value.url)
        request = client.build_request(
            "GET",
            value.url + PROOF_PATH,
            params={"nonce": nonce, "proof": self.proofs.asking(nonce, value.life)},
            headers={HOP: self._node},
            timeout=httpx.Timeout(2.0, connect=SECONDS_TO_CONNECT),
        )
        answer = await self._answer(node, client, request, False, 2.0)
        try:
            given = str(answer.json().get("proof", ""))
        except (ValueError, AttributeError):
            given = ""
        if not hmac.compare_digest(given, self.proofs.answering(nonce, value.life, node)):
            why = "it has another token" if answer.status_code == 403 else "another program answers there"
            raise NodeLost(f"{value.url} does not prove that it is the node {node!r}: {why}.", node=node)

    def _client(self, url: str) -> httpx.AsyncClient:
        if url not in self._clients:
            self._clients[url] = httpx.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                limits=httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=3.0),
            )
        return self._clients[url]
