"""What the commands share: the client of the app, tables, live views, progress bars, byte formats, completion.

Imports: program, supervising, terminals, web.
Imported by: cli, commands.
"""
