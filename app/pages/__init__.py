"""The pages that a browser gets, complete without JavaScript: one file a page; what all of them have is in ``page``.

Imports: across, addresses, clock, connections, errors, fleet, loop, shapes, supervising, terminals, watching, web.
Imported by: glass, measuring, program.
"""
