"""The app as a process: its assembly, start, service and end; its signals and exit codes.

Imports: addresses, api, declaring, history, kernel, loop, pages, settings, supervising, terminals, watching, web.
Imported by: commands, console.
"""
