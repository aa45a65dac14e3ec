"""The event loop that all servers share: which server owns each task and thread, which has the loop now, and where code
is.

Nothing here knows what a server is; a run of one is seen as an ``Owner``.

Imports: no other room.
Imported by: api, connections, declaring, demo, history, hosting, lens, pages, program, shapes, supervising, watching.
"""
