"""What a sweep that comes over the network may ask for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dnnsweep import policy, spec
from dnnsweep.errors import SettingsError, SpecError
from dnnsweep.settings import DEFAULT_MAXIMA, Limits, find_service, read_limits


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder: a file, a folder with one, and links, some of which lead out of it."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("rows.csv", "sub/rows.csv"):
        (folder / name).write_text("a,y\n1,0\n")
    (tmp_path / "data-of-others").mkdir()
    for name in ("secret.csv", "data-of-others/rows.csv"):
        (tmp_path / name).write_text("a,y\n1,0\n")
    (folder / "inside.csv").symlink_to(folder / "rows.csv")
    (folder / "outside.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    os.mkfifo(folder / "pipe.csv")
    return folder


def document(source: str = "sklearn:iris", **changes: Any) -> dict[str, Any]:
    target = {"target": "y"} if source.startswith(("csv", "parquet", "python")) else {}
    return {"name": "a", "dataset": {"source": source, **target}, **changes}


def refusals(limits: Limits, *arguments: Any, **changes: Any) -> list[str]:
    """Return the paths at which a sweep is refused."""
    try:
        policy.check(spec.check(document(*arguments, **changes)), limits)
    except SpecError as error:
        return [mistake.path for mistake in error.mistakes]
    return []


@pytest.mark.parametrize("name", ["rows.csv", "sub/rows.csv", "sub/../rows.csv", "inside.csv", "./rows.csv"])
def test_a_file_below_the_data_folder_may_be_named(root: Path, name: str) -> None:
    assert refusals(Limits(data_root=root), f"csv:{name}") == []


@pytest.mark.parametrize(
    "name",
    [
        "../secret.csv",
        "sub/../../secret.csv",
        "/etc/passwd",
        "outside.csv",
        "up/secret.csv",
        "up/data/../secret.csv",
        "../data-of-others/rows.csv",
        "~/secret.csv",
        "nothing.csv",
        "sub",
        "pipe.csv",
        "loop.csv",
        ".",
        "..",
        "a" * 5000,
        "/proc/self/environ",
        "file:///etc/passwd",
        "http://127.0.0.1/rows.csv",
        "rows.csv\n",
        "%2e%2e/secret.csv",
    ],
)
def test_nothing_else_may(root: Path, name: str) -> None:
    assert refusals(Limits(data_root=root), f"csv:{name}") == ["dataset.source"]


def test_of_files_outside_it_is_not_told_whether_they_exist(root: Path) -> None:
    told = set()
    for name in ("../secret.csv", "../nothing.csv"):
        with pytest.raises(SpecError) as caught:
            policy.check(spec.check(document(f"csv:{name}")), Limits(data_root=root))
        told.add(str(caught.value).replace(name, "FILE"))

    assert len(told) == 1


def test_a_path_may_be_absolute_if_it_is_below_the_data_folder(root: Path) -> None:
    assert refusals(Limits(data_root=root), f"csv:{root / 'rows.csv'}") == []


def test_a_data_folder_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)

    assert refusals(Limits(data_root=tmp_path / "link"), "csv:rows.csv") == []


def test_without_a_data_folder_no_file_may_be_named() -> None:
    assert refusals(Limits(), "csv:rows.csv") == ["dataset.source"]
    assert refusals(Limits(), "sklearn:iris") == []
    assert refusals(Limits(), "keras:mnist") == []
    assert refusals(Limits(), "arrays:") == ["dataset.source"]


@pytest.mark.parametrize(
    ("allowed", "is_allowed"),
    [
        ("", False),
        ("nets:build", True),
        ("python:nets:build", True),
        ("nets", True),
        ("other, nets:build ", True),
        ("nets:buil", False),
        ("nets:builder", False),
        ("net", False),
        ("nets.sub", False),
        ("*", False),
    ],
)
def test_functions_may_be_named_that_the_operator_lists(allowed: str, is_allowed: bool) -> None:
    known = read_limits({"DNNSWEEP_ALLOWED_PYTHON": allowed})

    assert refusals(known, "python:nets:build") == ([] if is_allowed else ["dataset.source"])
    builder = {"network": {"builder": "python:nets:build"}}
    assert refusals(known, **builder) == ([] if is_allowed else ["network.builder"])


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("budget.trials", {"budget": {"trials": 11}}),
        ("training.epochs", {"training": {"epochs": 101}}),
        ("network.hidden", {"network": {"hidden": [64, 65]}}),
        ("fixed.hidden", {"fixed": {"hidden": [65]}}),
        ("space.hidden", {"space": {"hidden": [[8], [8, 65]]}}),
        ("enqueue.0.hidden", {"space": {"hidden": [[8], [65]]}, "enqueue": [{"hidden": [65]}]}),
    ],
)
def test_the_operators_limits_hold_wherever_a_number_stands(path: str, changes: dict[str, Any]) -> None:
    known = Limits(max_trials=10, max_epochs=100, max_units=64)
    base = {"budget": {"trials": 10}, "training": {"epochs": 100}}

    assert path in refusals(known, **{**base, **changes})
    assert refusals(Limits(max_trials=11, max_epochs=101, max_units=65), **{**base, **changes}) == []


def test_rows_are_counted_once_they_are_known() -> None:
    policy.check_rows(100, Limits(max_rows=100))
    with pytest.raises(SpecError, match="must be at most 100 rows on this service, got 101 rows"):
        policy.check_rows(101, Limits(max_rows=100))


def test_limits_are_read_from_the_environment(tmp_path: Path) -> None:
    environ = {f"DNNSWEEP_MAX_{name}": str(place) for place, name in enumerate(DEFAULT_MAXIMA, 1)}

    assert read_limits({**environ, "DNNSWEEP_DATA_ROOT": str(tmp_path)}) == Limits(
        tmp_path, frozenset(), 1, 2, 3, 4, 5, 6, 7
    )
    assert read_limits({}) == Limits()
    for wrong in ("0", "-1", "ten", "1e3", "1.5", "²"):
        with pytest.raises(SettingsError, match="DNNSWEEP_MAX_ROWS must be a whole number above 0"):
            read_limits({"DNNSWEEP_MAX_ROWS": wrong})


def test_an_address_of_a_service_is_checked_and_its_token_is_not_shown() -> None:
    found = find_service({"DNNSWEEP_API_URL": "http://here:8000/", "DNNSWEEP_TOKEN": "s3cret"})

    assert found is not None
    assert (found.url, found.token) == ("http://here:8000", "s3cret")
    assert "s3cret" not in repr(found)
    assert find_service({}) is None
    with pytest.raises(SettingsError, match="must be http://HOST:PORT or https://HOST, got file:///etc/passwd"):
        find_service({"DNNSWEEP_API_URL": "file:///etc/passwd"})
    for environ in (
        {"DNNSWEEP_API_URL": "http://user:s3cret@here"},
        {"DNNSWEEP_API_URL": "ftp://user:s3cret@here"},
        {"DNNSWEEP_API_URL": "http://here", "DNNSWEEP_TOKEN": "s3cret\nHost: there"},
        {"DNNSWEEP_API_URL": "http://here", "DNNSWEEP_TOKEN": "s3cret\u20ac"},
    ):
        with pytest.raises(SettingsError) as caught:
            find_service(environ)
        assert "s3cret" not in str(caught.value)
