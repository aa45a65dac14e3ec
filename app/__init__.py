"""Echodeck: a supervisor for TCP echo servers, run from a web page."""

from importlib.metadata import version

__version__ = version("echodeck")
