"""Server hosts: where a measured server runs. That is this process, or a subprocess that has the loop, the supervisor
and the tracer, and nothing of the web: it starts in a fraction of the app's time, and ends with whoever started it.

Imports: history, kernel, lens, loop, recordings, supervising.
Imported by: glass, lab, program.
"""
