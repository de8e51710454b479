"""Parts of error messages: values as YAML writes them, and guesses at what was meant."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

ALIASES: Final = {
    "xavier": "glorot_uniform",
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
    "swish": "silu",
    "acc": "accuracy",
    "val_acc": "val_accuracy",
    "accuracy_val": "val_accuracy",
    "loss_val": "val_loss",
    "lr": "learning_rate",
    "min": "low",
    "minimum": "low",
    "lower": "low",
    "max": "high",
    "maximum": "high",
    "upper": "high",
}


def closest_name(raw: Any, known: Sequence[str]) -> str | None:
    """Return the known name that was probably meant; None if none is close.

    Example:
        >>> closest_name("adm", ("sgd", "adam")), closest_name("banana", ("sgd", "adam"))
        ('adam', None)
    """
    return _closest(raw, tuple(known)) if isinstance(raw, str) and len(raw) <= 40 else None


@functools.lru_cache(maxsize=256)
def _closest(raw: str, known: tuple[str, ...]) -> str | None:
    lower = raw.lower()
    exact = [word for word in known if word.lower() == lower or word == ALIASES.get(lower)]
    close = exact or difflib.get_close_matches(raw, known, n=1)
    return close[0] if close else None


def did_you_mean(raw: Any, known: Sequence[str]) -> str:
    """Return a remedy that suggests the closest known name; empty if none is close.

    Example:
        >>> did_you_mean("xavier", ("glorot_uniform", "he_uniform"))
        'did you mean glorot_uniform?'
    """
    word = closest_name(raw, known)
    return f"did you mean {word}?" if word else ""


def unquote_remedy(raw: Any) -> str:
    """Return the remedy for a text in place of a number."""
    if not isinstance(raw, str):
        return ""
    try:
        float(raw)
    except ValueError:
        return "write a number"
    return "write the number without quotes or underscores"


def yaml_text(raw: Any) -> str:
    """Return a value as an error message shows it: shortened, and as YAML would write it.

    Example:
        >>> yaml_text(True), yaml_text("adam"), yaml_text(None), yaml_text({"values": [1, 2]})
        ('true', "'adam'", 'null', '{values: [1, 2]}')
    """
    text = _full_text(raw)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _full_text(raw: Any) -> str:
    if raw is None or isinstance(raw, bool):
        return {None: "null", True: "true", False: "false"}[raw]
    if isinstance(raw, Mapping):
        return f"{{{', '.join(f'{key_text(key)}: {yaml_text(raw[key])}' for key in list(raw)[:20])}}}"
    if isinstance(raw, list | tuple):
        return f"[{', '.join(map(yaml_text, raw[:40]))}]"
    return repr(raw[:100]) if isinstance(raw, str) else _scalar_text(raw)


def _scalar_text(raw: Any) -> str:
    if isinstance(raw, int) and raw.bit_length() > 300:
        return f"a whole number of {raw.bit_length()} bits"
    if isinstance(raw, float) and not math.isfinite(raw):
        return ".nan" if math.isnan(raw) else ".inf" if raw > 0 else "-.inf"
    return repr(raw)


def key_text(key: Any) -> str:
    """Return a key as a part of a YAML path, in quotes if it is unusual.

    Example:
        >>> key_text("dropout"), key_text("a b"), key_text(1)
        ('dropout', "'a b'", '1')
    """
    is_word = isinstance(key, str) and len(key) <= 60 and key.isprintable() and " " not in key
    return key if key and is_word else yaml_text(key)
