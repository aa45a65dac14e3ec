"""What happened: the journal and the exceptions, in memory to be read, in the state file (SQLite) for the next start.

Imports: addresses, clock, errors, loop.
Imported by: program, shapes, supervising.
"""
