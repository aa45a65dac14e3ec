"""Options and arguments whose values need no check.

Typer checks every value with pydantic, even those that were not given, and importing pydantic takes longer than a whole
command. It has no option for that, but its classes can be extended.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from app.program.exit_codes import INVALID, fail
from echodeck import expand_user

if TYPE_CHECKING:
    _Parameter = TyperOption
    _Command = TyperCommand
else:
    _Parameter = _Command = object


class _Unchecked(_Parameter):
    def process_value(self, ctx: Any, value: Any) -> Any:
        """A default or ASCII text as it is. Other text is left to typer: it may be invalid UTF-8.

        Of a path, ``~`` is resolved here, for all commands.
        """
        kind = self.type_descriptor.annotation
        texts = [value] if kind is str else value if kind == list[str] else None
        needed = self.required and not ctx.resilient_parsing  # not while the shell completes a line
        if (value is self.default and not needed) or (
            texts and all(isinstance(text, str) and text.isascii() for text in texts)
        ):
            return self.callback(ctx, self, value) if self.callback else value
        value = super().process_value(ctx, value)
        if isinstance(value, Path) and not ctx.resilient_parsing:
            try:
                return expand_user(value)
            except OSError as error:
                named = self.get_error_hint().replace("'", "")
                fail(f"{named}: {error.strerror}", INVALID)
        return value

    def get_help_record(self, ctx: Any) -> tuple[str, str] | None:
        """For plain help, in which a bracket needs no backslash."""
        record = super().get_help_record(ctx)
        return record and (record[0], record[1].replace(r"\[", "["))


class _Option(_Unchecked, TyperOption):
    pass


class _Argument(_Unchecked, TyperArgument):
    pass


@cache
def _unchecked(parameter: TyperOption | TyperArgument) -> Any:
    """The same parameter as one of these classes: typer makes it, and cannot be given another class."""
    made = object.__new__(_Option if isinstance(parameter, TyperOption) else _Argument)
    vars(made).update(vars(parameter))
    return made


class _WithUnchecked(_Command):
    def get_params(self, ctx: Any) -> list[Any]:
        return [_unchecked(one) for one in super().get_params(ctx)]


class Command(_WithUnchecked, TyperCommand):
    """A command that takes defaults and text unchecked."""


class Group(_WithUnchecked, TyperGroup):
    """A group of commands, with the same for its own options."""
