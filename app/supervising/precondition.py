"""Entity tags of specs, and the precondition under which a server is changed (RFC 9110, 8.8.3 and 13.1.1).

Two clients that read the same server and change it: the second one names a spec that is no longer there, and is
refused. The tag is of the spec, not of the counters beside it; so it changes when the spec does, and only then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2s
from typing import Self

from app.errors import PreconditionFailed
from app.supervising.spec import ServerSpec

_TAG = re.compile(r'(?:W/)?"[^"]*"')


def etag(serial: int, spec: ServerSpec) -> str:
    """A strong entity tag, with its quotes. ``serial``: a later server of the same name and spec has another one."""
    return f'"{blake2s(f"{serial} {spec.model_dump_json()}".encode(), digest_size=8).hexdigest()}"'


@dataclass(frozen=True)
class IfMatch:
    """``tags`` is None where every spec is right: there is no such header, or it is ``*``."""

    tags: frozenset[str] | None = None

    @classmethod
    def of(cls, headers: Iterable[str]) -> Self:
        """The values of all ``If-Match`` headers of a request."""
        given = ",".join(headers).strip()
        return cls() if given in ("", "*") else cls(frozenset(_TAG.findall(given)))

    def check(self, current: str) -> None:
        """Compare strongly: a weak tag (``W/"..."``) is never equal.

        Raises:
            PreconditionFailed: the present spec is another one.
        """
        if self.tags is not None and current not in self.tags:
            raise PreconditionFailed(
                f"The server's spec is not the one in If-Match; its ETag is {current} now. Read it again.", etag=current
            )


UNCONDITIONAL = IfMatch()
