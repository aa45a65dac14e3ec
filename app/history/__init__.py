"""What happened: the journal, the exceptions and figures over time, in memory to be read, in the state file (SQLite)
for the next start.

Imports: addresses, clock, errors, loop.
Imported by: glass, hosting, lab, program, shapes, supervising, watching.
"""
