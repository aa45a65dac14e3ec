"""The glass's door: REST and pages for what the lens sees.

Imports: api, errors, lens, shapes, web.
Imported by: program.
"""
