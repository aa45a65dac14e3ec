"""The demo: a server of every variant, and visitors that behave like people.

Imports: loop.
Imported by: commands.
"""
