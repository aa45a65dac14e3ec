"""The header of a request that another node has forwarded; here, and not in ``peers``, so that an app without a fleet
does not import its client of the other nodes."""

HOP = "echodeck-hop"
"""Its value is the name of the node that forwarded the request. The request is not forwarded again."""
