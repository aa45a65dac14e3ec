"""The app as a process: its assembly, start, service and end; its signals and exit codes.

Imports: across, addresses, api, declaring, errors, etcd, experiments, fleet, glass, history, hosting, kernel, lab,
lens, loop, measuring, pages, recordings, settings, shapes, supervising, terminals, watching, web.
Imported by: cli, commands, console.
"""
