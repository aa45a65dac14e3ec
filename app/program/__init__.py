"""The app as a process: put together, started, served, ended; its signals and exit codes.

Imports: addresses, api, declaring, history, kernel, loop, pages, settings, supervising, terminals, watching, web.
Imported by: commands, console.
"""
