"""The demo: a server of every variant, and visitors that behave like people.

Imports: kernel, loop, supervising.
Imported by: commands.
"""
