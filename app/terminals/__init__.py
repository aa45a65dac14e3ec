"""The bridge from a WebSocket to a server's TCP socket: both ends, the frames, the subprotocol and the close codes.

Imports: addresses, connections, kernel, supervising.
Imported by: across, api, console, pages, program, web.
"""
