"""Formats of bytes on stdout: unchanged, with control bytes escaped, as a hex dump, or as lines of JSON."""

from __future__ import annotations

import codecs
import os
from base64 import b64encode
from typing import Any

from app.console.tables import encode_json

ROW = 16
"""Bytes in a row of a hex dump."""


class ByteFormat:
    """Each method returns the bytes to write to stdout."""

    def received(self, data: bytes) -> bytes:
        raise NotImplementedError

    def sent(self, data: bytes) -> bytes:
        return b""

    def event(self, fields: dict[str, Any]) -> bytes:
        """An event that is not bytes, such as ``accepted`` or ``closed``."""
        return b""

    def close(self) -> None:
        """The connection has ended."""


class RawBytes(ByteFormat):
    def received(self, data: bytes) -> bytes:
        return data


class VisibleText(ByteFormat):
    """For a terminal: control bytes except newline and tab, and invalid UTF-8, as \\xNN."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._column_0 = True

    def received(self, data: bytes) -> bytes:
        text = "".join(
            char if char.isprintable() or char in "\n\t" else "".join(f"\\x{byte:02x}" for byte in char.encode())
            for char in self._decoder.decode(data)
        )
        if text:
            self._column_0 = text.endswith("\n")
        return text.encode()

    def close(self) -> None:
        if not self._column_0:  # otherwise the shell's prompt would follow on the same line
            os.write(1, b"\n")


class HexDump(ByteFormat):
    """The format of ``hexdump -C`` after a sign for the direction; offsets are counted for each direction."""

    def __init__(self) -> None:
        self._in = self._out = 0

    def received(self, data: bytes) -> bytes:
        start, self._in = self._in, self._in + len(data)
        return _rows("<", start, data)

    def sent(self, data: bytes) -> bytes:
        start, self._out = self._out, self._out + len(data)
        return _rows(">", start, data)


class JsonLines(ByteFormat):
    """One JSON document for each event; bytes are in base64."""

    def received(self, data: bytes) -> bytes:
        return self._bytes("in", data)

    def sent(self, data: bytes) -> bytes:
        return self._bytes("out", data)

    def event(self, fields: dict[str, Any]) -> bytes:
        return f"{encode_json(fields)}\n".encode()

    def _bytes(self, direction: str, data: bytes) -> bytes:
        return self.event({"type": "bytes", "direction": direction, "base64": b64encode(data).decode()})


def _rows(direction: str, start: int, data: bytes) -> bytes:
    rows = []
    for at in range(0, len(data), ROW):
        row = data[at : at + ROW]
        figures = row.hex(" ").ljust(ROW * 3 - 1)
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{direction} {start + at:08x}  {figures}  |{letters}|\n")
    return "".join(rows).encode()
