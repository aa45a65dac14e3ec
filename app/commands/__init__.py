"""The commands of ``echodeck``, one file for those that belong together; all but ``serve`` are clients of REST.

Imports: console, declaring, demo, program, settings, supervising.
Imported by: cli.
"""
