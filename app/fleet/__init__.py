"""Many nodes, one deck: which node runs which server, agreed on through etcd; and how nodes speak to each other.

Imports: errors, etcd, shapes, supervising.
Imported by: across, api, pages, program, web.
"""
