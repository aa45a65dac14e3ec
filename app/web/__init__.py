"""The HTTP parts that REST and the pages share: access rules, streams, refusals, paging, metrics, languages.

Imports: clock, errors, fleet, settings, shapes, supervising, terminals, watching.
Imported by: across, api, console, glass, lab, measuring, pages, program.
"""
