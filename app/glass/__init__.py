"""The glass's door: REST and pages for what the lens sees.

Imports: across, addresses, api, errors, history, hosting, lens, pages, recordings, shapes, supervising, watching, web.
Imported by: program.
"""
