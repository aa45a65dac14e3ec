"""The app as a process: its assembly, start, service and end; its signals and exit codes.

Imports: across, addresses, api, declaring, errors, etcd, experiments, fleet, glass, history, kernel, lab, lens, loop,
measuring, pages, settings, supervising, terminals, watching, web.
Imported by: commands, console.
"""
