"""The lab: which way of serving, for what load, at what cost; answered by measurement.

Imports: clock, errors, experiments, history, hosting, kernel, supervising, web.
Imported by: measuring, program.
"""
