"""What commands share in a terminal: reaching the app, tables, live views, bars, bytes as text, completion.

Imports: program, supervising, terminals, web.
Imported by: commands.
"""
