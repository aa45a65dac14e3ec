"""Echodeck: a supervisor for TCP echo servers, run from a web page."""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # a third of the start of a process that does not need it

        return version("echodeck")
    raise AttributeError(name)
