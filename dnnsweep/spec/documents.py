"""YAML documents as plain data: the safe subset of YAML 1.2, without repeated keys, aliases or tags."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from dnnsweep.errors import Mistake, SpecError
from dnnsweep.space import closest_name, key_text, yaml_text

MAX_BYTES: Final = 200_000
MAX_DEPTH: Final = 20
MAX_DIGITS: Final = 1_000
MAX_VALUES: Final = 10_000

_PREFIX: Final = "tag:yaml.org,2002:"

_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
#: libyaml where PyYAML has it: ten times faster.
_PARSER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Reader:
    """Builds plain data from YAML events, and collects what is wrong in it but leaves it readable."""

    def __init__(self, text: str, path: str) -> None:
        self.mistakes: list[Mistake] = []
        self._path = path
        self._events: Iterator[Any] = yaml.parse(text, Loader=_PARSER)

    def document(self) -> Any:
        """Return the only document; None where there is none."""
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        document = self._value(next(self._events), self._path, 0)
        next(self._events)  # the document's end
        rest = next(self._events)
        if isinstance(rest, yaml.DocumentStartEvent):
            raise _refused(rest, "a second document; remove `---` and what follows it")
        return document

    def _value(self, event: Any, path: str, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "an alias; repeat the value instead")
        if event.tag is not None:
            raise _refused(event, "a tag; write the value without it")
        if depth > MAX_DEPTH:
            raise _refused(event, f"values nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth + 1)
        return self._list(path, depth + 1) if isinstance(event, yaml.SequenceStartEvent) else _scalar(event)

    def _list(self, path: str, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, _join(path, len(values)), depth))
        return values

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        """Keys are text as it stands in the file; a number, null or list as a key is an unknown key like any other."""
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            raw = self._value(event, path, depth)
            key = event.value if isinstance(event, yaml.ScalarEvent) else yaml_text(raw)
            where = _join(path, key_text(key))
            if key in values:
                got = f"it again on line {event.start_mark.line + 1}"
                self.mistakes.append(Mistake(where, "must be given once", got, "keep one of them"))
            values[key] = self._value(next(self._events), where, depth)
        return values


def _refused(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _scalar(event: yaml.ScalarEvent) -> Any:
    """Read a scalar as YAML 1.2 does: `1e-4` is a number, `on` and dates are text."""
    text: str = event.value
    if not event.implicit[0]:  # in quotes or a block
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text) and len(text) <= MAX_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text):  # longer integers become infinite, which is refused wherever it stands
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def text_of(path: Path) -> str:
    """Return the text of a sweep file.

    Raises:
        SpecError: It cannot be read, is too large or is not UTF-8.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        rule, got = "must be a sweep file that can be read", getattr(error, "strerror", "") or str(error)
        raise SpecError([Mistake(where, rule, got, _meant_file(path) or "check the path")]) from error
    if len(data) > MAX_BYTES:
        rule = f"must have at most {MAX_BYTES} bytes"
        raise SpecError([Mistake(where, rule, "more", "a sweep file names its data, it does not hold them")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"{error.reason} at byte {error.start}"
        raise SpecError([Mistake(where, "must be UTF-8 text", got, "save it as UTF-8")]) from error


def _meant_file(path: Path) -> str:
    """Return a remedy that names the YAML file that was probably meant; empty if there is none."""
    try:
        files = {file.stem: file for file in path.parent.iterdir() if file.suffix in (".yaml", ".yml")}
    except (OSError, ValueError):
        return ""
    meant = files.get(closest_name(path.stem, tuple(files)) or "")
    return "" if meant is None else f"did you mean {meant}?"


def read(path: Path) -> Any:
    """Read a YAML file as plain data.

    Raises:
        SpecError: The file cannot be read, is no YAML of the safe subset, or repeats a key.
    """
    return parse(text_of(path), str(path))


def parse(text: str, where: str) -> Any:
    """Read YAML text as plain data.

    Args:
        text: One YAML document.
        where: Its name, for errors.

    Raises:
        SpecError: The text is no YAML of the safe subset, or repeats a key.

    Example:
        >>> parse("learning_rate: 1e-4", "text")
        {'learning_rate': 0.0001}
    """
    document, mistakes = scan(text, where)
    if mistakes:
        raise SpecError(mistakes)
    return document


def scan(text: str, where: str, path: str = "") -> tuple[Any, list[Mistake]]:
    """Read YAML text as plain data, keys that are repeated included.

    Args:
        text: One YAML document.
        where: Its name, for errors.
        path: The YAML path at which its content will stand.

    Returns:
        The data, with the last value of a repeated key, and every mistake that leaves it readable.

    Raises:
        SpecError: The text is no YAML of the safe subset.
    """
    if len(text) > MAX_BYTES:
        raise SpecError([Mistake(where, f"must have at most {MAX_BYTES} characters", f"{len(text)} characters")])
    try:
        reader = _Reader(text, path)
        return reader.document(), reader.mistakes
    except yaml.YAMLError as error:
        raise SpecError([_unreadable(where, error)]) from error
    except UnicodeEncodeError as error:
        raise SpecError([Mistake(where, "must be text", str(error.reason))]) from error


def _unreadable(where: str, error: yaml.YAMLError) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    line = f" line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable text"
    remedy = "indent with spaces, not tabs" if "cannot start any token" in problem else ""
    return Mistake(f"{where}{line}", f"must be plain YAML: {problem}", "", remedy)


def plain(document: Any) -> tuple[Any, list[Mistake]]:
    """Bring data written in Python or JSON to the form that YAML has when read: lists, keys of text.

    Returns:
        The data, and a mistake for each text that no database stores.

    Raises:
        SpecError: There are too many values, or they are nested too deep.
    """
    walk = _Walk()
    return walk.value(document, ()), walk.mistakes


class _Walk:
    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._n_values = 0

    def value(self, value: Any, path: tuple[str, ...]) -> Any:
        self._count(path)
        if isinstance(value, Mapping):
            return {self._text(key, path): self.value(item, (*path, key_text(key))) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, (*path, str(index))) for index, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) else value

    def _count(self, path: tuple[str, ...]) -> None:
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            raise SpecError([Mistake("sweep file", f"must hold at most {MAX_VALUES} values", "more")])
        if len(path) > MAX_DEPTH:
            raise SpecError([Mistake(".".join(path), f"must not be nested deeper than {MAX_DEPTH} levels")])

    def _text(self, text: Any, path: tuple[str, ...]) -> str:
        if not isinstance(text, str):
            return yaml_text(text)
        storable = "".join(letter for letter in text if letter != "\0" and not "\ud800" <= letter <= "\udfff")
        if storable != text:
            rule = "must not contain the character NUL or half a surrogate pair"
            self.mistakes.append(Mistake(".".join(path) or "sweep file", rule, yaml_text(text), "remove it"))
        return storable


def write(document: Any, *, is_ascii: bool = False) -> str:
    """Return plain data as YAML that `parse` reads back to the same.

    Args:
        document: Plain data.
        is_ascii: Whether to write all other characters as codes.
    """
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=not is_ascii, width=120)


def write_inline(value: Any) -> str:
    """Return plain data as YAML on a single line, to stand behind a key or in a list.

    Example:
        >>> write_inline({"low": 0.5, "log": True}), write_inline("yes"), write_inline(["a: b", "c"])
        ('{low: 0.5, log: true}', "'yes'", "['a: b', c]")
    """
    text = str(yaml.dump(value, Dumper=_InlineDumper, sort_keys=False, allow_unicode=True, width=sys.maxsize))
    return text.removesuffix("...\n").rstrip("\n")  # three dots mark the end of a document that is a scalar


class _Dumper(yaml.SafeDumper):
    """Writes leaf lists on one line, and quotes what YAML 1.1 or 1.2 would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  PyYAML's signature
        return True


_Dumper.add_implicit_resolver(f"{_PREFIX}int", re.compile(f"^(?:{_INT.pattern})$"), list("-+0123456789"))
_Dumper.add_implicit_resolver(f"{_PREFIX}float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+0123456789."))


def _represent_list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    is_leaf = not any(isinstance(item, dict | list) for item in data)
    return dumper.represent_sequence(f"{_PREFIX}seq", data, flow_style=is_leaf)


def _represent_text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    """Line breaks that only YAML 1.1 knows survive in double quotes alone."""
    is_odd = not data.replace("\n", "").isprintable()
    return dumper.represent_scalar(f"{_PREFIX}str", data, style='"' if is_odd else None)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)


class _InlineDumper(_Dumper):
    """Writes everything on one line."""


def _represent_line(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    return dumper.represent_scalar(f"{_PREFIX}str", data, style=None if data.isprintable() else '"')


_InlineDumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence(f"{_PREFIX}seq", data, flow_style=True)
)
_InlineDumper.add_representer(
    dict, lambda dumper, data: dumper.represent_mapping(f"{_PREFIX}map", data, flow_style=True)
)
_InlineDumper.add_representer(str, _represent_line)


def override(document: Any, overrides: Sequence[str]) -> Any:
    """Replace parts of a document.

    Args:
        document: Plain data, which is not changed.
        overrides: `path=value` strings; dots separate keys, numbers count list entries from 0, values are YAML.
            Sections that are missing or null are created.

    Raises:
        SpecError: An override has no path, or its path leads into something that has no parts.

    Example:
        >>> override({"training": {"epochs": 50}}, ["training.epochs=5"])
        {'training': {'epochs': 5}}
    """
    document, mistakes = overridden(document, overrides)
    if mistakes:
        raise SpecError(mistakes)
    return document


def overridden(document: Any, overrides: Sequence[str]) -> tuple[Any, list[Mistake]]:
    """Replace parts of a document as `override` does, and return every mistake instead of raising."""
    mistakes: list[Mistake] = []
    for text in overrides:
        path, equals, value = text.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not equals or not all(keys) or len(keys) > MAX_DEPTH:
            remedy = "for example --set training.epochs=5"
            mistakes.append(Mistake("--set", "must be written path=value", yaml_text(text), remedy))
            continue
        try:
            content, repeated = scan(value, f"--set {yaml_text(path)}", ".".join(keys))
            document = _replaced(document, keys, content)
            mistakes += repeated
        except SpecError as error:
            mistakes += error.mistakes
        except LookupError as error:
            mistakes.append(Mistake(f"--set {path}", "must lead to a place in the sweep file", str(error.args[0])))
    return document, mistakes


def _replaced(document: Any, keys: Sequence[str], value: Any) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if document is None or isinstance(document, dict):
        parts = document or {}
        return {**parts, key: _replaced(parts.get(key), rest, value)}
    if isinstance(document, list) and key in map(str, range(len(document))):
        index = int(key)
        return [*document[:index], _replaced(document[index], rest, value), *document[index + 1 :]]
    raise LookupError(f"{yaml_text(document)} where {key} was expected")
