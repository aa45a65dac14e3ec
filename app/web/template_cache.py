"""Compiled templates, beside the templates, as Python keeps compiled modules beside its sources.

A template takes Jinja some 15 ms to compile, and all of them half a start. Where the folder cannot be written, each
process compiles them anew.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from hashlib import sha1
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, BytecodeCache


class TemplateCache(BytecodeCache):
    """``folder`` has a file for each template. ``options`` is any text that changes when templates are to be compiled
    in another way, such as the code that makes their environment."""

    def __init__(self, folder: Path, options: str) -> None:
        self._folder = folder
        self._options = f"{jinja2.__version__} {options}"

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError), self._file(bucket).open("rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            new = self._file(bucket).with_suffix(f".{os.getpid()}")
            with new.open("wb") as file:
                bucket.write_bytecode(file)
            new.replace(self._file(bucket))  # at once, as another process may read it now

    def get_source_checksum(self, source: str) -> str:
        """A file with another checksum is compiled anew."""
        return sha1(f"{self._options}\n{source}".encode(), usedforsecurity=False).hexdigest()

    def _file(self, bucket: Bucket) -> Path:
        return self._folder / f"{bucket.key}.{sys.implementation.cache_tag}"
