"""What is kept of a server's calls, and the scripts by which clients behave: neither knows the loop nor sockets.

Imports: no other room.
Imported by: glass, hosting, lens, program.
"""
