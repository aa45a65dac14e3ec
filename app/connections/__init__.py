"""The clients of servers: those inside, those in the accept queues, and what their connections add up to.

Imports: addresses, errors, kernel, loop.
Imported by: lens, pages, shapes, supervising, terminals, watching.
"""
