"""The JSON in which REST and the feed describe things, one file a noun: pure pictures of what they are given.

Imports: addresses, connections, history, kernel, loop, supervising.
Imported by: across, api, fleet, glass, measuring, pages, program, watching, web.
"""
