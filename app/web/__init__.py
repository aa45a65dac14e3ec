"""The HTTP parts that REST and the pages share: access rules, streams, refusals, paging, metrics, languages.

Imports: errors, kernel, loop, settings, supervising, terminals, watching.
Imported by: api, console, pages, program.
"""
