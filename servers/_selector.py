"""Selectors that tell a lens of their calls, while somebody looks: by changing their class, as connections do."""

from __future__ import annotations

import selectors
from collections.abc import Container
from functools import cache
from typing import Any

from servers._connection import Lens


def look_at(selector: selectors.BaseSelector, lens: Lens | None, only: Container[Any] | None = None) -> None:
    """From its next call on, tell the lens of each; nobody with None.

    ``only``: the descriptors whose registrations are told, where others are watched by the same selector.
    """
    plain = _plain(type(selector))
    if lens is None:
        selector.__class__ = plain
        selector.__dict__.pop("lens", None)
        selector.__dict__.pop("only", None)
    else:
        selector.__dict__["lens"] = lens
        selector.__dict__["only"] = only
        selector.__class__ = _shown(plain)


class _Shown:
    """Mixed into a selector's own class; ``lens`` and ``only`` are as ``look_at`` has them."""


@cache
def _shown(plain: Any) -> type:
    # Its functions are bound once: others whose descriptors go through the loop's selector pay for each step here.
    plain_select, plain_register = plain.select, plain.register
    plain_modify, plain_unregister, plain_close = plain.modify, plain.unregister, plain.close

    def select(self: Any, timeout: float | None = None) -> Any:
        lens: Lens = self.lens
        began = lens.enters("select", self, timeout)
        try:
            ready = plain_select(self, timeout)
        except OSError as error:
            lens.fails("select", self, timeout, began, error)
            raise
        lens.returns("select", self, timeout, began, len(ready))
        return ready

    def register(self: Any, fileobj: Any, events: int, data: Any = None) -> Any:
        if self.only is not None and fileobj not in self.only:
            return plain_register(self, fileobj, events, data)
        lens: Lens = self.lens
        began = lens.enters("register", self, (fileobj, events))
        try:
            key = plain_register(self, fileobj, events, data)
        except OSError as error:
            lens.fails("register", self, (fileobj, events), began, error)
            raise
        lens.returns("register", self, (fileobj, events), began, 0)
        return key

    def modify(self: Any, fileobj: Any, events: int, data: Any = None) -> Any:
        """Told where the events change: where only the data does, the system is not called."""
        if self.only is not None and fileobj not in self.only:
            return plain_modify(self, fileobj, events, data)
        lens: Lens = self.lens
        changes = self.get_key(fileobj).events != events
        began = lens.enters("modify", self, (fileobj, events))
        try:
            key = plain_modify(self, fileobj, events, data)
        except OSError as error:
            lens.fails("modify", self, (fileobj, events), began, error)
            raise
        if changes:
            lens.returns("modify", self, (fileobj, events), began, 0)
        return key

    def unregister(self: Any, fileobj: Any) -> Any:
        if self.only is not None and fileobj not in self.only:
            return plain_unregister(self, fileobj)
        lens: Lens = self.lens
        began = lens.enters("unregister", self, (fileobj, 0))
        key = plain_unregister(self, fileobj)
        lens.returns("unregister", self, (fileobj, 0), began, 0)
        return key

    def close(self: Any) -> None:
        lens: Lens = self.lens
        began = lens.enters("close", self, None)
        plain_close(self)
        lens.returns("close", self, None, began, 0)

    told = {one.__name__: one for one in (select, register, modify, unregister, close)}
    return type(f"Shown{plain.__name__}", (_Shown, plain), told)


def _plain(kind: type) -> type:
    return kind.__mro__[2] if issubclass(kind, _Shown) else kind
