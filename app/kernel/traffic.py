"""Bytes both ways, as the kernel counts them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that clients sent to the server and that the server sent back."""

    bytes_in: int = 0
    bytes_out: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.bytes_in + other.bytes_in, self.bytes_out + other.bytes_out)

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.bytes_in - other.bytes_in, self.bytes_out - other.bytes_out)


NO_TRAFFIC = Traffic()
