"""REST: thin routes, one file a noun.

Imports: errors, loop, shapes, supervising, terminals, watching, web.
Imported by: program.
"""
