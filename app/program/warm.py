"""Imported when Echodeck is installed: has each template compiled, and all modules whose first import takes time."""

from importlib import import_module

from app.pages.page import environment, templates
from app.program import launch
from app.program.parts import PARTS

__all__ = ["launch"]

for part in PARTS:
    for module in (*part.before, *part.routers):
        import_module(module)
for template in templates():
    environment.get_template(template)
