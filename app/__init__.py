"""Echodeck: a supervisor for TCP echo servers, run from a web page."""

__version__ = "0.1.0"
