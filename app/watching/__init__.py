"""What changes, as events: the feed (``GET /events``) with its view and topics, the tap on one connection,
and the recorder of the series.

Imports: connections, experiments, history, kernel, loop, shapes, supervising.
Imported by: across, api, glass, pages, program, web.
"""
