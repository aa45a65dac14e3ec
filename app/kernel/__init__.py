"""What the kernel knows of sockets: TCP_INFO of a connection, who waits in an accept queue, how many descriptors are
left, which ports it hands out.

It is asked, never recorded: a file here reads one kernel interface, and names its source.

Imports: no other room.
Imported by: connections, demo, hosting, lab, lens, program, shapes, supervising, terminals, watching.
"""
