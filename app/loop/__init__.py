"""The event loop that all servers share: whose each task and thread is, who has the loop now, and where code stands.

Nothing here knows what a server is; a run of one is seen as an ``Owner``.

Imports: no other room.
Imported by: api, connections, declaring, demo, history, pages, program, shapes, supervising, web.
"""
