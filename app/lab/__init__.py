"""The lab: which way of serving, for what load, at what cost; answered by measurement.

Imports: no other room.
Imported by: no other room.
"""
