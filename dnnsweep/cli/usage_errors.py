"""Wrong usage of the command line, told as every other error is: place, rule, value and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import typer

from dnnsweep.space import closest_name, did_you_mean

#: Kind of pydantic error -> rule.
_RULES: Final[Mapping[str, str]] = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}


def usage_message(error: Any, commands: Mapping[str, Any]) -> str:
    """Return an error of Typer's in the words of this program.

    Args:
        error: The error, of any class that Typer raises for wrong usage.
        commands: The commands of the program by name.
    """
    context = getattr(error, "ctx", None)
    command = "dnnsweep" if context is None else context.command_path
    details = _details(error)
    if details is not None:
        return _wrong_value(error.param, details)
    if isinstance(error, typer.BadParameter) and error.param is None:  # our own words
        return error.message
    if hasattr(error, "possibilities"):
        return _unknown_option(error.option_name, command, commands)
    unknown = re.match(r"No such command '(.*?)'", error.format_message(), re.DOTALL)
    if unknown is not None:
        remedy = did_you_mean(unknown[1], tuple(commands)) or "`dnnsweep -h` lists the commands"
        return f"there is no command {unknown[1]}; {remedy}"
    text = error.format_message().removeprefix("Invalid value: ").strip().rstrip(".")
    return f"{text[:1].lower()}{text[1:]}; `{command} -h` explains the command"


def _details(error: Any) -> Mapping[str, Any] | None:
    """Return what pydantic found wrong with a value; None if something else is wrong."""
    cause = error.__cause__
    if getattr(error, "param", None) is None or not hasattr(cause, "errors"):
        return None
    return next(iter(cause.errors()), None)


def _wrong_value(param: Any, details: Mapping[str, Any]) -> str:
    place = param.opts[0] if param.param_type_name == "option" else param.metavar or param.name.upper()
    kind, context, got = details["type"], details.get("ctx", {}), details["input"]
    if kind == "value_error":
        choices = re.findall(r"'([^']*)'", str(context["error"]).partition(" is not one of ")[2])
        if choices:
            remedy = did_you_mean(got, choices)
            return f"{place}: must be one of {', '.join(choices)}, got {got!r}{f'; {remedy}' if remedy else ''}"
    rule = _RULES[kind].format(**context) if kind in _RULES else details["msg"]
    return f"{place}: {rule}, got {got!r}"


def _unknown_option(option: str, command: str, commands: Mapping[str, Any]) -> str:
    """Say which option was probably meant, which commands have it, or where to look."""
    own = _options(commands.get(command.rpartition(" ")[2]))
    close = closest_name(option, own)
    holders = [name for name, other in commands.items() if option in _options(other)]
    if option == "--home":
        remedy = f"`{command}` uses no home, so remove it"
    elif holders:
        remedy = f"{', '.join(holders)} {'takes' if len(holders) == 1 else 'take'} it"
    else:
        remedy = f"did you mean {close}?" if close else f"`{command} -h` lists its options"
    return f"{option}: unknown option of `{command}`; {remedy}"


def _options(command: Any) -> tuple[str, ...]:
    params: Iterable[Any] = () if command is None else command.params
    return tuple(name for param in params if param.param_type_name == "option" for name in param.opts)
