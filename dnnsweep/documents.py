"""YAML documents as plain data: the safe subset of YAML 1.2, without repeated keys or aliases."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from dnnsweep.errors import Mistake, SpecError
from dnnsweep.space import show

MAX_BYTES: Final = 1_000_000


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does (`1e-4` is a number, `on` and dates are text) and collects repeated keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.mistakes: list[Mistake] = []

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise yaml.MarkedYAMLError(None, None, "aliases are not supported; repeat the value", mark)
        return super().compose_node(parent, index)


_INT: Final = re.compile(r"^[-+]?[0-9]+$")
_FLOAT: Final = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    digits = loader.construct_scalar(node)
    if len(digits) > 1000:
        raise yaml.MarkedYAMLError(None, None, "a number has more than 1000 digits", node.start_mark)
    return int(digits)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(None, None, "a key must be a word, not a list or mapping", key_node.start_mark)
        value = loader.construct_object(value_node, deep=True)
        if key in mapping:
            line = key_node.start_mark.line + 1
            loader.mistakes.append(Mistake(str(key), "key is given twice", f"line {line}", "keep one of them"))
        mapping[key] = value
    return mapping


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def read(path: Path) -> Any:
    """Read a YAML file as plain data.

    Raises:
        SpecError: The file cannot be read, is no YAML or repeats a key.
    """
    where = str(path)
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise SpecError([Mistake(where, f"must not exceed {MAX_BYTES} bytes", f"{path.stat().st_size} bytes")])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        rule = "must be a sweep file that can be read"
        raise SpecError([Mistake(where, rule, error.strerror or str(error), "check the path")]) from error
    except UnicodeDecodeError as error:
        raise SpecError([Mistake(where, "must be UTF-8 text", str(error.reason), "save it as UTF-8")]) from error
    return parse(text, where)


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
    try:
        loader = _Loader(text)
        document = loader.get_single_data()
    except RecursionError as error:
        raise SpecError([Mistake(where, "must not be nested so deep")]) from error
    except yaml.YAMLError as error:
        raise SpecError([_unreadable(where, error)]) from error
    if loader.mistakes:
        raise SpecError(loader.mistakes)
    return document


def _unreadable(where: str, error: yaml.YAMLError) -> Mistake:
    mark = getattr(error, "problem_mark", None)
    line = f" line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable text"
    return Mistake(f"{where}{line}", "must be YAML", problem)


def write(document: Any) -> str:
    """Return plain data as YAML that `parse` reads back to the same."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes leaf lists and mappings on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _is_leaf(data: Any) -> bool:
    return not any(isinstance(item, dict | list) for item in (data.values() if isinstance(data, dict) else data))


def _represent_list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=_is_leaf(data))


_Dumper.add_representer(list, _represent_list)


def override(document: Any, overrides: Sequence[str]) -> Any:
    """Replace parts of a document.

    Args:
        document: Plain data; left as it is.
        overrides: `path=value` strings; dots separate keys, numbers count list entries from 0, values are YAML.

    Raises:
        SpecError: An override has no path, or its path leads into something that has no parts.

    Example:
        >>> override({"training": {"epochs": 50}}, ["training.epochs=5"])
        {'training': {'epochs': 5}}
    """
    mistakes: list[Mistake] = []
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            mistakes.append(Mistake("--set", "must be written path=value", show(text)))
            continue
        try:
            document = _replaced(document, path.strip().split("."), parse(value, f"--set {path}"))
        except SpecError as error:
            mistakes += error.mistakes
        except LookupError as error:
            mistakes.append(Mistake(f"--set {path}", "must lead to a place in the sweep file", str(error.args[0])))
    if mistakes:
        raise SpecError(mistakes)
    return document


def _replaced(document: Any, keys: Sequence[str], value: Any) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if document is None or isinstance(document, dict):
        parts = document or {}
        return {**parts, key: _replaced(parts.get(key), rest, value)}
    if isinstance(document, list) and key.isdigit() and int(key) < len(document):
        index = int(key)
        return [*document[:index], _replaced(document[index], rest, value), *document[index + 1 :]]
    raise LookupError(f"{show(document)} where {key} was expected")
