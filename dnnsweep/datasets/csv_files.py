"""CSV files: read by pandas, and counted meanwhile where their size is limited."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final, cast

import pandas as pd

from dnnsweep.datasets.bounds import BoundedStream, check_bound, check_shape
from dnnsweep.datasets.data_errors import check_unique_names, data_error
from dnnsweep.datasets.files import UNREADABLE, open_file, unreadable
from dnnsweep.settings import Limits
from dnnsweep.space import yaml_text

#: Most bytes of the column names and the first row, where the size of files is limited.
HEADER_BYTES: Final = 1 << 22
#: Ends of the names of compressed CSV files -> what pandas calls the compression.
_COMPRESSIONS: Final[Mapping[str, str]] = {
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tar.bz2": "tar",
    ".tar.xz": "tar",
    ".gz": "gzip",
    ".bz2": "bz2",
    ".zip": "zip",
    ".xz": "xz",
    ".zst": "zstd",
}
#: Read numbers to the last bit, so that equal files give equal rows; pandas 3.1 and later do so by default.
_EXACT: Final[Mapping[str, Any]] = (
    {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
)


def read_csv_frame(name: str, limits: Limits | None = None) -> pd.DataFrame:
    """Read a CSV file with a header line.

    Args:
        name: Path of the file.
        limits: What the operator allows a sweep that came over the network; None for any file of any size.

    Raises:
        DataError: The file cannot be read, is too large, repeats a column name, or holds no rows.
    """
    start = b""
    try:
        with open_file(name, limits) as file:
            content = _CsvContent(file, name, limits)
            start = content.start()
            # The header is read by itself: where a row is longer, pandas would take its first value for an index.
            header = content.read(header=None, nrows=2, dtype=str, keep_default_na=False).iloc[0].tolist()
            check_unique_names(header)
            frame = content.read(low_memory=False, **_EXACT)
    except UnicodeDecodeError as error:
        raise unreadable("a CSV file in UTF-8", name, error, "save it as UTF-8") from error
    except UNREADABLE as error:
        remedy = "separate the columns with commas" if _has_other_separators(start) else "check the file"
        raise unreadable("a CSV file with a line of column names", name, error, remedy) from error
    if not len(frame):
        raise data_error("dataset.source", "must hold rows", "column names only")
    return frame


def _has_other_separators(start: bytes) -> bool:
    header = start.partition(b"\n")[0]
    return b"," not in header and any(mark in header for mark in (b";", b"\t", b"|"))


class _CsvContent:
    """The text of a CSV file, which may be compressed.

    Where limits hold, it is decompressed here instead of by pandas, so that it can be counted, and the columns are
    counted before pandas reads them, which takes it minutes if there are very many.

    Args:
        file: The opened file.
        name: Name of the file, whose end says how it is compressed.
        limits: What the operator allows; None for any size.

    Raises:
        DataError: There are too many columns, or the content could not be counted.
    """

    def __init__(self, file: BinaryIO, name: str, limits: Limits | None) -> None:
        self._limits = limits
        ends = (kind for end, kind in _COMPRESSIONS.items() if name.lower().endswith(end))
        self._compression = next(ends, None)
        self._source = file if limits is None else _decompressed(file, name, self._compression)
        self._n_columns = 0 if limits is None else self._count_columns(limits)

    def start(self) -> bytes:
        """Return the first bytes."""
        return self._stream(is_header=True).read(10_000)

    def read(self, **options: Any) -> pd.DataFrame:
        """Read rows from the start, as pandas reads them with these options.

        Raises:
            DataError: The content is too large.
        """
        compression = self._compression if self._limits is None else None
        stream = self._stream(is_header="nrows" in options)
        return cast("pd.DataFrame", pd.read_csv(stream, compression=compression, **options))

    def _stream(self, *, is_header: bool) -> BinaryIO:
        """Return the content from its start, counted where limits hold."""
        self._source.seek(0)
        limits = self._limits
        if limits is None:
            return self._source
        check = _check_header if is_header else lambda *counts: self._check(limits, *counts)
        return BoundedStream.buffered(self._source, check)

    def _check(self, limits: Limits, n_bytes: int, n_lines: int) -> None:
        check_bound(n_bytes, limits.max_bytes, "bytes once it is decompressed", is_all=False)
        check_shape(n_lines - 1, self._n_columns, limits, is_all=False)  # a row that is too short is filled up

    def _count_columns(self, limits: Limits) -> int:
        text = io.TextIOWrapper(self._stream(is_header=True), "utf-8-sig", newline="")
        n_columns = next((len(row) for row in csv.reader(text) if "".join(row).strip() or len(row) > 1), 0)
        check_bound(n_columns, limits.max_columns, "columns")
        return n_columns


def _check_header(n_bytes: int, _: int) -> None:
    check_bound(n_bytes, HEADER_BYTES, "bytes of column names and first row", is_all=False)


def _decompressed(file: BinaryIO, name: str, compression: str | None) -> BinaryIO:
    """Return what a file holds, decompressed while it is read.

    Raises:
        DataError: What is in it cannot be counted while it is read.
    """
    readers: Mapping[str | None, Callable[[BinaryIO], Any]] = {
        None: lambda plain: plain,
        "gzip": lambda packed: gzip.GzipFile(fileobj=packed),
        "bz2": bz2.BZ2File,
        "xz": lzma.LZMAFile,
        "zip": _only_member,
    }
    if compression not in readers:
        rule, remedy = "must not be compressed in this way on this service", "use .gz, .bz2, .xz or .zip"
        raise data_error("dataset.source", rule, yaml_text(name), remedy)
    return cast("BinaryIO", readers[compression](file))


def _only_member(file: BinaryIO) -> Any:
    archive = zipfile.ZipFile(file)
    if len(archive.infolist()) != 1:
        raise ValueError(f"a ZIP file must hold one file, got {len(archive.infolist())}")
    return archive.open(archive.infolist()[0])
