"""The lab's door: REST and pages for experiments and what came out of them.

Imports: api, errors, experiments, lab, pages, shapes, web.
Imported by: program.
"""
