"""Fingerprints: equal for equal data, on any machine and with any version of pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.datasets.frames import Table, text_values
from dnnsweep.datasets.targets import Target

_VERSION: Final = "dnnsweep data 1"
_BLOCK_VALUES: Final = 1 << 20


class _Digest(Protocol):
    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


def fingerprint(table: Table, target: Target, n_own_test: int | None, roles: Sequence[pd.Series | None] = ()) -> str:
    """Return the SHA-256 over names, kinds and values of all rows before any split.

    Numbers are hashed as little-endian 64-bit floats, with one bit pattern for missing values and one for zero.
    Each distinct text is hashed once, as its length and its UTF-8 bytes, followed by the position of each row's text
    among them (-1 for missing).

    Args:
        table: The features.
        target: The value to predict for each row.
        n_own_test: Number of test rows that the source provides, which come last; None for no such rows.
        roles: Columns that rows are split and weighted by; None for a role that no column has.
    """
    digest = hashlib.sha256()
    for name in (_VERSION, target.name, target.kind, *table.number_columns, *table.text_columns):
        _add_text(digest, name)
    _add_sizes(digest, len(table.number_columns), len(table.text_columns), n_own_test or 0)
    _add_numbers(digest, table.numbers)
    for column in table.text.T:
        _add_texts(digest, column)
    _add_target(digest, target)
    for role in roles:
        if role is not None:
            _add_text(digest, str(role.name))
            _add_texts(digest, text_values(role))
    return digest.hexdigest()


def _add_target(digest: _Digest, target: Target) -> None:
    if target.kind == "text":
        _add_texts(digest, target.raw)
    else:
        _add_numbers(digest, target.raw.reshape(-1, 1))


def _add_text(digest: _Digest, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    digest.update(len(raw).to_bytes(8, "little") + raw)


def _add_sizes(digest: _Digest, *sizes: int) -> None:
    digest.update(b"".join(size.to_bytes(8, "little") for size in sizes))


def _add_numbers(digest: _Digest, numbers: NDArray[Any]) -> None:
    n_rows, n_columns = numbers.shape
    _add_sizes(digest, n_rows, n_columns)
    step = max(1, _BLOCK_VALUES // max(1, n_columns))
    for start in range(0, n_rows, step):
        block = numbers[start : start + step].astype("<f8", order="C")
        block += 0.0  # turns -0.0 into 0.0
        block[np.isnan(block)] = np.nan
        digest.update(block.tobytes())


def _add_texts(digest: _Digest, texts: NDArray[Any]) -> None:
    codes, distinct = pd.factorize(texts)
    _add_sizes(digest, len(codes), len(distinct))
    for text in distinct:
        _add_text(digest, text)
    digest.update(codes.astype("<i8").tobytes())
