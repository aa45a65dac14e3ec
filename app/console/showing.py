"""How bytes are shown on stdout: as they are, made visible, as a hex dump, or as lines of JSON."""

from __future__ import annotations

import codecs
import os
from base64 import b64encode
from typing import Any

from app.console.tables import document

ROW = 16
"""Bytes in a row of a hex dump."""


class Shower:
    """Each call returns what is to be written."""

    def received(self, data: bytes) -> bytes:
        raise NotImplementedError

    def sent(self, data: bytes) -> bytes:
        return b""

    def happened(self, told: dict[str, Any]) -> bytes:
        """What the app said besides."""
        return b""

    def close(self) -> None:
        """Nothing more comes."""


class Untouched(Shower):
    def received(self, data: bytes) -> bytes:
        return data


class Visible(Shower):
    """For a terminal: control bytes but newline and tab, and what is no UTF-8, as \\xNN."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._column_0 = True

    def received(self, data: bytes) -> bytes:
        shown = "".join(
            char if char.isprintable() or char in "\n\t" else "".join(f"\\x{byte:02x}" for byte in char.encode())
            for char in self._decoder.decode(data)
        )
        if shown:
            self._column_0 = shown.endswith("\n")
        return shown.encode()

    def close(self) -> None:
        if not self._column_0:  # else the shell's prompt would stand behind what came
            os.write(1, b"\n")


class Hex(Shower):
    """As ``hexdump -C`` has it, with the direction before it; each direction counts its own bytes."""

    def __init__(self) -> None:
        self._in = self._out = 0

    def received(self, data: bytes) -> bytes:
        start, self._in = self._in, self._in + len(data)
        return _rows("<", start, data)

    def sent(self, data: bytes) -> bytes:
        start, self._out = self._out, self._out + len(data)
        return _rows(">", start, data)


class Lines(Shower):
    """A document for each thing that happens; bytes are in base64."""

    def received(self, data: bytes) -> bytes:
        return self._bytes("in", data)

    def sent(self, data: bytes) -> bytes:
        return self._bytes("out", data)

    def happened(self, told: dict[str, Any]) -> bytes:
        return f"{document(told)}\n".encode()

    def _bytes(self, direction: str, data: bytes) -> bytes:
        return self.happened({"type": "bytes", "direction": direction, "base64": b64encode(data).decode()})


def _rows(direction: str, start: int, data: bytes) -> bytes:
    rows = []
    for at in range(0, len(data), ROW):
        row = data[at : at + ROW]
        figures = row.hex(" ").ljust(ROW * 3 - 1)
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{direction} {start + at:08x}  {figures}  |{letters}|\n")
    return "".join(rows).encode()
