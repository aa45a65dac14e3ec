"""One deck of many nodes: calls are passed on to where a server is, lists and feeds are put together.

Imports: errors, fleet, shapes, supervising, terminals, watching, web.
Imported by: api, glass, pages, program.
"""
