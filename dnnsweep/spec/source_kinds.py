"""The kinds of sources that a sweep file can name, and how they are told from a file's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dnnsweep.spec.dataset import BUILT_IN, FILES

KINDS: Final = (*BUILT_IN, *FILES, "python", "arrays")
#: Kinds of sources whose columns have names.
TABLES: Final = ("csv", "parquet")
#: Ending of a file's name -> the kind of source that it is.
FILE_ENDINGS: Final[Mapping[str, str]] = {
    **{f".csv{packed}": "csv" for packed in ("", ".gz", ".bz2", ".xz", ".zip")},
    ".parquet": "parquet",
    ".npz": "npz",
}
