"""The calls of a server's run, told while somebody looks: sockets and selectors wear a class that tells.

Imports: addresses, connections, errors, kernel, loop, recordings, supervising.
Imported by: glass, hosting, program.
"""
