"""REST: thin routes, one file a noun.

Imports: across, errors, fleet, loop, shapes, supervising, terminals, watching, web.
Imported by: glass, measuring, program.
"""
