"""Selectors that tell a lens of their calls, while somebody looks: by changing their class, as connections do."""

from __future__ import annotations

import selectors
from functools import cache
from typing import Any

from servers._connection import Lens


def look_at(selector: selectors.BaseSelector, lens: Lens | None) -> None:
    """From its next call on, tell the lens of each; nobody with None."""
    plain = _plain(type(selector))
    if lens is None:
        selector.__class__ = plain
        selector.__dict__.pop("lens", None)
    else:
        selector.__dict__["lens"] = lens
        selector.__class__ = _shown(plain)


class _Shown:
    lens: Lens

    def select(self, timeout: float | None = None) -> Any:
        lens = self.lens
        began = lens.enters("select", self, timeout)
        try:
            ready = super().select(timeout)  # type: ignore[misc]
        except OSError as error:
            lens.fails("select", self, timeout, began, error)
            raise
        lens.returns("select", self, timeout, began, len(ready))
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        lens = self.lens
        began = lens.enters("register", self, (fileobj, events))
        try:
            key = super().register(fileobj, events, data)  # type: ignore[misc]
        except OSError as error:
            lens.fails("register", self, (fileobj, events), began, error)
            raise
        lens.returns("register", self, (fileobj, events), began, 0)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> Any:
        """Told where the events change: where only the data does, the system is not called."""
        lens = self.lens
        changes = super().get_key(fileobj).events != events  # type: ignore[misc]
        began = lens.enters("modify", self, (fileobj, events))
        try:
            key = super().modify(fileobj, events, data)  # type: ignore[misc]
        except OSError as error:
            lens.fails("modify", self, (fileobj, events), began, error)
            raise
        if changes:
            lens.returns("modify", self, (fileobj, events), began, 0)
        return key

    def unregister(self, fileobj: Any) -> Any:
        lens = self.lens
        began = lens.enters("unregister", self, (fileobj, 0))
        key = super().unregister(fileobj)  # type: ignore[misc]
        lens.returns("unregister", self, (fileobj, 0), began, 0)
        return key

    def close(self) -> None:
        lens = self.lens
        began = lens.enters("close", self, None)
        super().close()  # type: ignore[misc]
        lens.returns("close", self, None, began, 0)


@cache
def _shown(plain: type) -> type:
    return type(f"Shown{plain.__name__}", (_Shown, plain), {})


def _plain(kind: type) -> type:
    return kind.__mro__[2] if issubclass(kind, _Shown) else kind
