"""Addresses as text, in the one form that the whole app writes."""

from __future__ import annotations


def format_address(host: str, port: int) -> str:
    """``127.0.0.1:8001``, ``[::1]:8001``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
