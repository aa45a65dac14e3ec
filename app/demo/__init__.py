"""The demo: a server of every variant, and visitors who behave like people.

Imports: loop, supervising.
Imported by: commands.
"""
