"""Keras's data sets: read from where Keras stores them, and downloaded if they are not there yet.

Keras's own loaders are not used, because they load TensorFlow, print to stdout, and delete a copied file whose bytes
differ from the original's even if it cannot be downloaded again.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dnnsweep.datasets.data_errors import data_error
from dnnsweep.space import yaml_text

#: Longest silence of the server that a file is downloaded from.
TIMEOUT_SECONDS: Final = 10.0
_KERAS: Final = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A file of a data set, as Keras stores it.

    Args:
        path: Path below Keras's folder of data sets.
        url: Address to download the file from.
        digest: SHA-256 that Keras states for the file; None where Keras states none.
    """

    path: str
    url: str
    digest: str | None = None


def _idx_file(name: str) -> KerasFile:
    return KerasFile(f"fashion-mnist/{name}.gz", f"{_KERAS}{name}.gz")


#: From the sources of keras.datasets, version 3.15.
FILES: Final[Mapping[str, tuple[KerasFile, ...]]] = {
    "mnist": (
        KerasFile(
            "mnist.npz",
            f"{_KERAS}mnist.npz",
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        ),
    ),
    "fashion_mnist": (
        _idx_file("train-labels-idx1-ubyte"),
        _idx_file("train-images-idx3-ubyte"),
        _idx_file("t10k-labels-idx1-ubyte"),
        _idx_file("t10k-images-idx3-ubyte"),
    ),
    "cifar10": (
        KerasFile(
            "cifar-10-batches-py-target_archive",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
    ),
    "california_housing": (
        KerasFile(
            "california_housing.npz",
            f"{_KERAS}california_housing.npz",
            "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
        ),
    ),
}
#: Names of the arrays in each npz file.
KEYS: Final = {"mnist": ("x_train", "y_train", "x_test", "y_test"), "california_housing": ("x", "y")}


def keras_folder() -> Path:
    """Return where Keras stores data sets: below `KERAS_HOME`, or the home directory."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path("~/.keras").expanduser()) / "datasets"


def load_arrays(name: str) -> Mapping[str, NDArray[Any]]:
    """Return `x` and `y` of a data set, or `x_train`, `y_train`, `x_test` and `y_test` if it has test rows of its own.

    Args:
        name: Key of `FILES`.

    Raises:
        DataError: A file is missing and cannot be downloaded, or is not what its name says.
    """
    paths = [keras_folder() / file.path for file in FILES[name]]
    for file, path in zip(FILES[name], paths, strict=True):
        if not path.exists():
            _download(name, file, path)
    readers: Mapping[str, Callable[[Sequence[Path]], Mapping[str, NDArray[Any]]]] = {
        "fashion_mnist": _read_idx_files,
        "cifar10": _read_batches,
    }
    try:
        return readers[name](paths) if name in readers else _read_npz(paths[0], KEYS[name])
    except Exception as error:  # whatever the readers raise for bytes of another kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        rule = f"must be {name} as Keras stores it"
        remedy = "delete the file to download it again, or copy the original there"
        raise data_error("dataset.source", rule, f"{paths[0]}: {reason}", remedy) from error


def _download(name: str, source: KerasFile, path: Path) -> None:
    """Download a file to where Keras looks for it, completely or not at all."""
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            partial = Path(file.name)
            with urllib.request.urlopen(source.url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  a constant
                shutil.copyfileobj(answer, file)
        _check_digest(source, partial)
        partial.replace(path)
    except (OSError, ValueError) as error:
        rule = f"must be on this machine or downloadable from {source.url}"
        remedy = f"copy the file to {path}"
        raise data_error("dataset.source", rule, f"{yaml_text(f'keras:{name}')}: {error}", remedy) from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink()


def _check_digest(source: KerasFile, path: Path) -> None:
    with path.open("rb") as file:
        if source.digest not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
            raise ValueError("its SHA-256 differs from the original's")


def _read_npz(path: Path, keys: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in keys}


def _read_idx_files(paths: Sequence[Path]) -> Mapping[str, NDArray[Any]]:
    """Read labels and images (rows, 28, 28), which follow headers of 8 and 16 bytes."""
    labels, images, test_labels, test_images = (gzip.decompress(path.read_bytes()) for path in paths)
    return {
        "x_train": np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28),
        "y_train": np.frombuffer(labels, np.uint8, offset=8),
        "x_test": np.frombuffer(test_images, np.uint8, offset=16).reshape(-1, 28, 28),
        "y_test": np.frombuffer(test_labels, np.uint8, offset=8),
    }


def _read_batches(paths: Sequence[Path]) -> Mapping[str, NDArray[Any]]:
    """Read images (rows, 32, 32, 3) and labels from the archive of pickled batches."""
    _check_digest(FILES["cifar10"][0], paths[0])  # unpickling other bytes could run any code
    with tarfile.open(paths[0], "r:gz") as archive:
        batches = [_read_batch(archive, name) for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")]
    x = np.concatenate([images for images, _ in batches])
    y = np.concatenate([labels for _, labels in batches])
    n_test = len(batches[-1][1])
    return {"x_train": x[:-n_test], "y_train": y[:-n_test], "x_test": x[-n_test:], "y_test": y[-n_test:]}


def _read_batch(archive: tarfile.TarFile, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    member = archive.extractfile(f"cifar-10-batches-py/{name}")
    if member is None:
        raise ValueError(f"it lacks {name}")
    batch = pickle.load(io.BytesIO(member.read()), encoding="bytes")  # noqa: S301  checked above to be the original
    images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, np.asarray(batch[b"labels"], np.uint8)
