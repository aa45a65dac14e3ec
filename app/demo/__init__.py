"""The demo: a server of every variant, and visitors who behave like people.

Imports: loop.
Imported by: commands.
"""
