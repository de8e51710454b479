"""What of a sweep's data is opened and read if the sweep came over the network."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnnsweep import datasets
from dnnsweep.datasets import bounds
from dnnsweep.errors import DataError
from dnnsweep.settings import Limits
from dnnsweep.spec import DatasetSpec

GOOD = "a,b,y\n" + "".join(f"{row * 3},{row % 7},{row % 2}\n" for row in range(40))
SECRET = "secret_a,secret_b,y\n" + "".join(f"{row},{row % 5},{row % 2}\n" for row in range(40))
ROWS = 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder with a good table in it, in a folder of its own, too; secrets are elsewhere."""
    folder = tmp_path / "data"
    for place in (folder / "sub", tmp_path / "elsewhere" / "sub"):
        place.mkdir(parents=True)
    for place in (folder, folder / "sub"):
        (place / "rows.csv").write_text(GOOD)
    (tmp_path / "elsewhere" / "rows.csv").write_text(SECRET)
    (tmp_path / "elsewhere" / "sub" / "rows.csv").write_text(SECRET)
    return folder


def load(root: Path, source: str, **limits: Any) -> datasets.Dataset:
    target = "y" if source.startswith(("csv", "parquet")) else None
    return datasets.load(DatasetSpec(source=source, target=target), limits=Limits(data_root=root, **limits))


def refusal(root: Path, source: str, **limits: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(root, source, **limits)
    return str(caught.value)


# -- what is opened -------------------------------------------------------------------------------------------------


def put_link(path: Path, target: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("source", "swapped"),
    [
        ("csv:rows.csv", "rows.csv"),
        ("csv:sub/rows.csv", "sub/rows.csv"),
        ("csv:sub/rows.csv", "sub"),
        ("npz:rows.csv", "rows.csv"),
        ("parquet:rows.csv", "rows.csv"),
    ],
)
def test_a_link_that_is_put_in_place_after_the_check_is_not_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, swapped: str
) -> None:
    look_up, open_part = os.path.realpath, os.open
    is_swapped: list[bool] = []

    def swap(*arguments: Any, **options: Any) -> int:
        if not is_swapped:  # every name was looked up by now
            put_link(root / swapped, tmp_path / "elsewhere" / swapped)
            is_swapped.append(True)
        return open_part(*arguments, **options)

    monkeypatch.setattr(os, "open", swap)
    told = refusal(root, source)

    assert "must be a file below the service's data folder that can be read" in told
    assert "secret" not in told
    assert str(tmp_path) not in told
    assert look_up(root / swapped).endswith(f"elsewhere/{swapped}")


def test_rows_and_fingerprint_are_of_the_file_that_was_opened(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links and other files that take its place while it is read change nothing."""
    expected = load(root, "csv:rows.csv").summary
    read = pd.read_csv

    def swap(*arguments: Any, **options: Any) -> Any:
        put_link(root / "rows.csv", tmp_path / "elsewhere" / "rows.csv")
        monkeypatch.setattr(pd, "read_csv", read)
        return read(*arguments, **options)

    monkeypatch.setattr(pd, "read_csv", swap)

    assert load(root, "csv:rows.csv").summary == expected
    assert expected.columns == ("a", "b")


@pytest.mark.parametrize(
    "name", ["../elsewhere/rows.csv", "/etc/passwd", "link.csv", "up/elsewhere/rows.csv", "no.csv"]
)
def test_of_what_is_elsewhere_nothing_is_told(root: Path, tmp_path: Path, name: str) -> None:
    (root / "link.csv").symlink_to(tmp_path / "elsewhere" / "rows.csv")
    (root / "up").symlink_to(tmp_path)

    rule = "dataset.source: must be a file below the service's data folder that can be read"
    assert refusal(root, f"csv:{name}") == f"{rule}, got '{name}'; check the path"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_only_regular_files_are_read(root: Path, make: Callable[[Path], None]) -> None:
    make(root / "other.csv")

    assert "must be a file below" in refusal(root, "csv:other.csv")


def test_a_link_that_stays_in_the_data_folder_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "latest").symlink_to("sub")
    (root / "latest.csv").symlink_to(root / "latest" / "rows.csv")
    (tmp_path / "alias").symlink_to(root)

    for folder, name in ((root, "latest.csv"), (root, "latest/rows.csv"), (tmp_path / "alias", "sub/rows.csv")):
        assert load(folder, f"csv:{name}").summary.columns == ("a", "b")


def test_no_descriptor_is_left_open(root: Path) -> None:
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("sub/rows.csv", "sub/no.csv", "no/no.csv", "sub"):
        try:
            load(root, f"csv:{name}", max_bytes=1000)
        except DataError:
            continue
    refusal(root, "csv:rows.csv", max_bytes=100)

    assert len(list(Path("/proc/self/fd").iterdir())) == n_open


# -- how much is read -----------------------------------------------------------------------------------------------


def packed(text: bytes, end: str) -> bytes:
    if end == ".zip":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("rows.csv", text)
        return archive.getvalue()
    pack: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
    }
    return pack[end](text)


@pytest.mark.parametrize("end", ["", ".gz", ".bz2", ".xz", ".zip"])
def test_a_compressed_table_is_read_like_a_plain_one(root: Path, end: str) -> None:
    expected = load(root, "csv:rows.csv").summary
    (root / f"packed.csv{end}").write_bytes(packed(GOOD.encode(), end))

    assert load(root, f"csv:packed.csv{end}").summary == expected
    assert datasets.load(DatasetSpec(source=f"csv:{root}/packed.csv{end}", target="y")).summary == expected


@pytest.mark.parametrize("end", [".zst", ".tar", ".tar.gz", ".TAR.XZ"])
def test_what_cannot_be_counted_while_it_is_read_is_refused(root: Path, end: str) -> None:
    (root / f"packed.csv{end}").write_bytes(b"anything")

    assert "use .gz, .bz2, .xz or .zip" in refusal(root, f"csv:packed.csv{end}")


WIDE = b",".join(b"c%d" % column for column in range(1000))


# Texts are made in the test: a table of them would take gigabytes in each process that tests.
@pytest.mark.parametrize(
    ("end", "start", "repeated", "n_times", "told"),
    [
        *((end, b"a,y\n", b"1,0\n", 900_000, "at most 100000 rows") for end in (".gz", ".bz2", ".xz", ".zip")),
        (".gz", b"a,y\r", b"1,0\r", 2_500_000, "at most 100000 rows"),
        (".gz", b"a,y\n", b'"\n",0\n', 1_500_000, "at most 100000 rows"),
        (".gz", WIDE + b"\n", b",\n", 90_000, "bytes as 64-bit numbers"),
        (".gz", WIDE, b",y\n", 1, "at most 1000 columns"),
        (".gz", b"", b",", 10_000_000, "bytes of column names"),
        (".gz", b"", b"\n", 10_000_000, "bytes of column names"),
        (".gz", b"a,y\n", b"1", 10_000_000, "bytes of column names and first row"),
        (".gz", b"a,y\n1,0\n", b"1", 10_000_000, "bytes once it is decompressed"),
        (".gz", b'a,y\n1,0\n"', b"1", 10_000_000, "bytes once it is decompressed"),
        (".gz", b'"', b"\n", 10_000_000, "field larger than field limit"),
    ],
)
def test_a_bomb_is_left_unread_as_soon_as_it_is_too_large(
    root: Path, monkeypatch: pytest.MonkeyPatch, end: str, start: bytes, repeated: bytes, n_times: int, told: str
) -> None:
    (root / f"bomb.csv{end}").write_bytes(packed(start + repeated * n_times, end))
    n_read: list[int] = []
    count = bounds.BoundedStream._count_lines

    def note(stream: bounds.BoundedStream, block: bytes) -> int:
        n_read.append(len(block))
        return count(stream, block)

    monkeypatch.setattr(bounds.BoundedStream, "_count_lines", note)

    assert told in refusal(root, f"csv:bomb.csv{end}", max_rows=100_000, max_columns=1000, max_bytes=4_000_000)
    assert max(n_read) <= bounds.BLOCK_BYTES
    assert sum(n_read) < 9_500_000  # up to 4 MiB for the header, and as much of the content


@pytest.mark.parametrize("n_columns", [100, 101])
def test_columns_are_counted_in_the_header(root: Path, n_columns: int) -> None:
    names = ",".join(f'"c,\n{column}"' for column in range(n_columns - 1))
    values = ",".join(str(column) for column in range(n_columns - 1))
    rows = "".join(f"{row}{values},{row % 2}\n" for row in range(40))
    (root / "wide.csv").write_text(f"\n{names},y\n{rows}")

    if n_columns == 100:
        assert load(root, "csv:wide.csv", max_columns=100).summary.n_features == 99
    else:
        assert "at most 100 columns on this service, got 101" in refusal(root, "csv:wide.csv", max_columns=100)


def test_limits_are_inclusive(root: Path) -> None:
    size = (root / "rows.csv").stat().st_size
    exact = {"max_rows": ROWS, "max_columns": 3, "max_bytes": ROWS * 3 * 8}
    assert size < exact["max_bytes"]

    assert load(root, "csv:rows.csv", **exact).summary.n_features == 2
    for name, most in exact.items():
        assert f"must be at most {most - 1} " in refusal(root, "csv:rows.csv", **{**exact, name: most - 1})
    assert "must be at most 50 bytes on this service" in refusal(root, "csv:rows.csv", max_bytes=50)


def test_texts_count_as_the_inputs_that_they_become(root: Path) -> None:
    rows = "".join(f"{'abcdefghij'[row % 10]},{row % 2}\n" for row in range(ROWS))
    (root / "text.csv").write_text(f"a,y\n{rows}")

    assert load(root, "csv:text.csv", max_columns=10).summary.n_features == 10
    assert "at most 9 columns on this service, got 10" in refusal(root, "csv:text.csv", max_columns=9)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (lambda: {"a": pa.array(np.zeros(300_000)), "y": pa.array(np.arange(300_000) % 2)}, "at most 100000 rows"),
        (lambda: {f"c{column}": pa.array(np.zeros(1000)) for column in range(1001)}, "at most 1000 columns"),
        (lambda: {f"c{column}": pa.array(np.zeros(90_000)) for column in range(100)}, "bytes as 64-bit numbers"),
        (lambda: {"a": pa.array(["x" * 10_000] * 50_000).dictionary_encode().cast(pa.string())}, "has its own text"),
        (lambda: {"a": pa.array([b"x" * 10_000] * 50_000, pa.binary())}, "has its own text"),
        (lambda: {"a": pa.array([b"x" * 10_000] * 50_000, pa.binary(10_000))}, "has its own text"),
        (lambda: {"a": pa.array([[0.0] * 1000] * 5000)}, "lists or structures in 'a'"),
        (lambda: {"a": pa.array([{"b": 1.0}] * 5000)}, "lists or structures in 'a'"),
    ],
    ids=["rows", "columns", "values", "text", "bytes", "fixed bytes", "lists", "structures"],
)
def test_a_parquet_file_is_refused_by_what_it_tells_of_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch, columns: Callable[[], dict[str, Any]], told: str
) -> None:
    pq.write_table(pa.table(columns()), root / "bomb.parquet", compression="gzip")
    assert (root / "bomb.parquet").stat().st_size < 4_000_000
    monkeypatch.delattr(pd, "read_parquet")

    assert told in refusal(root, "parquet:bomb.parquet", max_rows=100_000, max_columns=1000, max_bytes=40_000_000)


def test_a_parquet_file_with_all_kinds_of_columns_is_read(root: Path) -> None:
    frame = pd.DataFrame(
        {
            "a.b": np.arange(60.0),
            "text": [("x", "yy", None)[row % 3] for row in range(60)],
            "kind": pd.Categorical([("u", "v")[row % 2] for row in range(60)]),
            "flag": [row % 3 == 0 for row in range(60)],
            "y": np.arange(60) % 2,
        },
        index=[f"row {row}" for row in range(60)],
    )
    frame.to_parquet(root / "rows.parquet")

    summary = load(root, "parquet:rows.parquet").summary

    assert summary == datasets.load(DatasetSpec(source=f"parquet:{root}/rows.parquet", target="y")).summary


def npz(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def npy(shape: tuple[int, ...], kind: str = "<f8", content: bytes = b"") -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
    return header.getvalue() + content


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (npy((100_001, 1)), "at most 100000 rows"),
        (npy((40, 1001)), "at most 1000 columns"),
        (npy((40, 1, 7, 11, 13)), "at most 1000 columns"),
        (npy((40_000, 100)), "bytes as arrays"),
        (npy((90_000, 300), "|u1"), "bytes as 32-bit numbers"),
        (npy((40, 1), "<U1000000"), "bytes as arrays"),
        (npy((40, 1), "|O"), "must be an npz file of plain arrays"),
        (npy((2**62, 4)), "at most 100000 rows"),
        (npy((40, 2)), "must be an npz file of plain arrays"),
        (b"not an array", "must be an npz file of plain arrays"),
        (b"\0", "must be an npz file of plain arrays"),
    ],
    ids=["rows", "columns", "pixels", "values", "bytes", "text", "objects", "huge", "short", "other", "zeros"],
)
def test_an_npz_file_is_refused_by_the_headers_of_its_arrays(root: Path, x: bytes, told: str) -> None:
    npz(root / "bomb.npz", x=x * 50_000_000 if x == b"\0" else x, y=npy((40,), "<i8", bytes(320)))

    assert told in refusal(root, "npz:bomb.npz", max_rows=100_000, max_columns=1000, max_bytes=20_000_000)


def test_by_default_a_gigabyte_of_zeros_is_refused(root: Path) -> None:
    npz(root / "zeros.npz", x=npy((1_250_000, 100)), y=npy((1_250_000,)))

    assert "must be at most 1000000000 bytes as arrays on this service" in refusal(root, "npz:zeros.npz")


def test_images_count_in_the_32_bits_in_which_they_are_kept(root: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (60, 4, 4), np.uint8)
    np.savez_compressed(root / "images.npz", x=images, y=np.arange(60) % 2)

    assert load(root, "npz:images.npz", max_bytes=60 * 16 * 4 + 60 * 8).summary.n_features == 16
    assert "bytes as arrays" in refusal(root, "npz:images.npz", max_bytes=60 * 16 * 4 + 60 * 8 - 1)


def test_what_a_function_returns_is_counted_as_well(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counted_rows.py").write_text(
        "import numpy as np\ndef rows():\n    return np.eye(50), np.arange(50) % 2"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert load(root, "python:counted_rows:rows").summary.n_features == 50
    assert "at most 49 rows" in refusal(root, "python:counted_rows:rows", max_rows=49)


def test_more_memory_than_is_stated_is_not_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a header hides: here numpy is told to take ten times as much as is allowed."""
    limits = Limits(data_root=root, max_bytes=1_000_000)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr(datasets.sources, "read_csv_frame", lambda *_: np.ones(10 * limits.max_memory, np.uint8))

    rule = f"must fit in memory while it is loaded, got more than {limits.max_memory} bytes"
    assert rule in refusal(root, "csv:rows.csv", max_bytes=1_000_000)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_sweep_of_this_machine_has_no_limits(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text(GOOD)
    (tmp_path / "rows.csv").symlink_to(tmp_path / "elsewhere.csv")

    assert datasets.load(DatasetSpec(source=f"csv:{tmp_path}/rows.csv", target="y")).summary.n_features == 2
