"""etcd, spoken to by its JSON gateway: keys, transactions, leases, watches. It knows nothing of servers.

Imports: errors.
Imported by: fleet, program.
"""
