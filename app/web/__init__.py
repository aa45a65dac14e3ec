"""The HTTP side that REST and the pages share: access rules, streams, refusals, lists in pages, metrics, languages.

Imports: errors, kernel, loop, settings, supervising, terminals, watching.
Imported by: api, console, pages, program.
"""
