"""What changes, as events: the feed (``GET /events``) with its view and topics, and the tap on one connection.

Imports: connections, shapes, supervising.
Imported by: api, pages, program, web.
"""
