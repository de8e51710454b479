"""CSV files: read by pandas, and counted meanwhile where their size is limited."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, cast

import pandas as pd

from dnnsweep.datasets.bounds import BoundedStream, check_bound, check_shape
from dnnsweep.datasets.csv_forms import START_BYTES, WINDOWS, CsvForm, find_form, is_text
from dnnsweep.datasets.data_errors import check_unique_names, data_error
from dnnsweep.datasets.files import UNREADABLE, open_file, unreadable
from dnnsweep.settings import Limits
from dnnsweep.space import yaml_text
from dnnsweep.spec.dataset import CsvSpec

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


#: Cells that are gaps and no words: empty ones.
_ONLY_EMPTY: Final[Mapping[str, Any]] = {"keep_default_na": False, "na_values": [""]}


@dataclass(frozen=True, slots=True)
class CsvRequest:
    """What is asked of the content of a CSV file.

    Args:
        form: How the file is written; None finds it out.
        given: What the sweep file says about the form that is found out.
        texts: Names of columns that are read as text whatever they hold.
        keeps_words: Whether cells such as `NA` are read as words, not as gaps.
    """

    form: CsvForm | None = None
    given: CsvSpec | None = None
    texts: Collection[str] = ()
    keeps_words: bool = True


def read_csv_frame(
    name: str, limits: Limits | None = None, request: CsvRequest = CsvRequest()
) -> tuple[pd.DataFrame, CsvForm]:
    """Read a CSV file with a header line; return its rows and how it is written.

    Args:
        name: Path of the file.
        limits: What the operator allows a sweep that came over the network; None for any file of any size.
        request: What is asked of its content.

    Raises:
        DataError: The file cannot be read, is too large, repeats a column name, or holds no rows.
    """
    with _told_errors(name), open_file(name, limits) as file:
        content = _CsvContent(file, name, limits)
        start = content.start()
        form = request.form or find_form(start, request.given)
        try:
            frame = _read_form(content, form, request)
        except UnicodeDecodeError:
            if request.form or (request.given and request.given.encoding) or not is_text(start):
                raise
            form = find_form(start, (request.given or CsvSpec()).model_copy(update={"encoding": WINDOWS}))
            frame = _read_form(content, form, request)
    if not len(frame):
        raise data_error("dataset.source", "must hold rows", "column names only")
    return frame, form


def read_csv_blocks(name: str, request: CsvRequest, columns: Collection[str], n_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV file in blocks, so that a file of any size fits in memory.

    Args:
        name: Path of the file.
        request: What is asked of its content; its form is what to expect, but the file may be written in another one.
        columns: Names that the file should have; the form is the first one in which it does.
        n_rows: Rows of a block.

    Raises:
        DataError: The file cannot be read, repeats a column name, or holds no rows.
    """
    is_empty = True
    with _told_errors(name), open_file(name, None) as file:
        content = _CsvContent(file, name, None)
        form = _expected_form(content, request, columns)
        for block in _read_form(content, form, request, chunksize=n_rows):
            is_empty = False
            yield block
    if is_empty:
        raise data_error("dataset.source", "must hold rows", "column names only")


def _expected_form(content: _CsvContent, request: CsvRequest, columns: Collection[str]) -> CsvForm:
    start = content.start()
    found = find_form(start, request.given)
    forms = [found if request.form is None else request.form, found, replace(found, encoding=WINDOWS)]
    for form in forms:
        with contextlib.suppress(UnicodeError, *UNREADABLE):
            if set(columns) <= set(_header(content, form)):
                return form
    return found


@contextlib.contextmanager
def _told_errors(name: str) -> Iterator[None]:
    """Turn what readers of CSV files raise into errors about the file."""
    try:
        yield
    except UnicodeError as error:
        remedy = "save it as UTF-8, or name its encoding with dataset.csv.encoding"
        raise unreadable("a CSV file in UTF-8", name, error, remedy) from error
    except UNREADABLE as error:
        remedy = "check the file, or say with dataset.csv how it is written"
        raise unreadable("a CSV file with a line of column names", name, error, remedy) from error


def _header(content: _CsvContent, form: CsvForm) -> list[str]:
    """Return the names of columns; with a row that is longer, pandas would take its first value for an index."""
    first = content.read(**form.options(), header=None, nrows=2, dtype=str, keep_default_na=False)
    return [str(name) for name in first.iloc[0]]


def _read_form(content: _CsvContent, form: CsvForm, request: CsvRequest, **block: int) -> Any:
    """Return the rows, or with `chunksize` an iterator over blocks of them."""
    content.check_columns(form)
    options = form.options()
    header = _header(content, form)
    check_unique_names(header)
    if request.keeps_words:
        options |= _ONLY_EMPTY
    texts = {column: str for column in header if column in request.texts}
    return content.read(**options, **({"dtype": texts} if texts else {}), low_memory=False, **_EXACT, **block)


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
        self._n_columns = 0

    def start(self) -> bytes:
        """Return the first bytes of what is in the file; none where only pandas can decompress it."""
        if self._limits is not None:
            return self._stream(is_header=True).read(START_BYTES)
        if self._compression not in _DECOMPRESSORS:
            return b""
        self._source.seek(0)
        return cast("bytes", _DECOMPRESSORS[self._compression](self._source).read(START_BYTES))

    def check_columns(self, form: CsvForm) -> None:
        """Count the columns where their number is limited.

        Raises:
            DataError: There are too many.
        """
        if self._limits is not None:
            self._n_columns = self._count_columns(self._limits, form)

    def read(self, **options: Any) -> Any:
        """Read rows from the start, as pandas reads them with these options.

        Raises:
            DataError: The content is too large.
        """
        compression = self._compression if self._limits is None else None
        stream = self._stream(is_header="nrows" in options)
        return pd.read_csv(stream, compression=compression, **options)

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

    def _count_columns(self, limits: Limits, form: CsvForm) -> int:
        encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
        text = io.TextIOWrapper(self._stream(is_header=True), encoding, newline="")
        rows = csv.reader(text, delimiter=form.separator)
        if form.has_separator_line:
            next(rows, None)
        n_columns = next((len(row) for row in rows if "".join(row).strip() or len(row) > 1), 0)
        check_bound(n_columns, limits.max_columns, "columns")
        return n_columns


def _check_header(n_bytes: int, _: int) -> None:
    check_bound(n_bytes, HEADER_BYTES, "bytes of column names and first row", is_all=False)


def _decompressed(file: BinaryIO, name: str, compression: str | None) -> BinaryIO:
    """Return what a file holds, decompressed while it is read.

    Raises:
        DataError: What is in it cannot be counted while it is read.
    """
    if compression not in _DECOMPRESSORS:
        rule, remedy = "must not be compressed in this way on this service", "use .gz, .bz2, .xz or .zip"
        raise data_error("dataset.source", rule, yaml_text(name), remedy)
    return cast("BinaryIO", _DECOMPRESSORS[compression](file))


def _only_member(file: BinaryIO) -> Any:
    archive = zipfile.ZipFile(file)
    if len(archive.infolist()) != 1:
        raise ValueError(f"a ZIP file must hold one file, got {len(archive.infolist())}")
    return archive.open(archive.infolist()[0])


#: What pandas calls a compression -> what decompresses it while it is read.
_DECOMPRESSORS: Final[Mapping[str | None, Callable[[BinaryIO], Any]]] = {
    None: lambda plain: plain,
    "gzip": lambda packed: gzip.GzipFile(fileobj=packed),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zip": _only_member,
}
