"""Servers under supervision: the states, the settings (``spec``), restart policy and backoff, one run, one server, all
servers.

``lifecycle``, ``backoff`` and ``spec`` know neither asyncio nor sockets.

Imports: addresses, clock, connections, errors, history, kernel, loop.
Imported by: across, api, commands, console, declaring, demo, experiments, fleet, glass, hosting, lab, lens, pages,
program, shapes, terminals, watching, web.
"""
