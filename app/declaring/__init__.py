"""Servers declared in a file: reading and writing it, the plan that makes them so, and keeping to it (``serve
--config``).

``plan`` knows neither asyncio nor sockets.

Imports: errors, loop, supervising.
Imported by: commands, program.
"""
