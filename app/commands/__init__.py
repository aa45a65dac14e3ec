"""The commands of ``echodeck``, one file for each group; all except ``serve`` are clients of REST.

Imports: console, declaring, demo, experiments, program, settings, supervising.
Imported by: cli.
"""
