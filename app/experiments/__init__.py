"""Questions that are answered by measurement, and the answers: as data, files and pictures. Nothing is measured here.

Imports: supervising.
Imported by: commands, lab, measuring, program, watching.
"""
