from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from dnnsweep.settings import find_settings


def test_home_comes_from_argument_then_environment_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"DNNSWEEP_HOME": "/from/environment"}

    assert find_settings("/from/argument", environ).home == Path("/from/argument")
    assert find_settings(None, environ).home == Path("/from/environment")
    assert find_settings(None, {}).home == tmp_path / "dnnsweep-home"
    assert find_settings("", {"DNNSWEEP_HOME": ""}).home == tmp_path / "dnnsweep-home"


def test_relative_home_does_not_move_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    settings = find_settings("sub/home", {})

    assert settings.home == tmp_path / "sub" / "home"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/sub/home/mlflow.db"


def test_tilde_is_the_home_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert find_settings("~/sweeps", {}).home == Path("/home/ada/sweeps")


def test_everything_is_embedded_in_the_home_by_default() -> None:
    settings = find_settings("/data/home", {})

    assert settings.database_url == "sqlite:////data/home/dnnsweep.db"
    assert settings.tracking_uri == "sqlite:////data/home/mlflow.db"
    assert settings.is_tracking_embedded
    assert settings.artifacts == Path("/data/home/mlartifacts")
    assert settings.models("digits") == Path("/data/home/models/digits")


def test_servers_replace_what_is_embedded() -> None:
    environ = {
        "DNNSWEEP_DATABASE_URL": "postgresql+psycopg://u@db/dnnsweep",
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    }

    settings = find_settings("/data/home", environ)

    assert settings.database_url == environ["DNNSWEEP_DATABASE_URL"]
    assert settings.tracking_uri == environ["MLFLOW_TRACKING_URI"]
    assert not settings.is_tracking_embedded


@pytest.mark.parametrize(
    "home", ["/data/my home", "/data/50%25", "/data/a?b=c", "/data/a#b", "/data/a@b:c", "/data/übung"]
)
def test_database_url_names_the_file_whatever_the_folder_is_called(home: str) -> None:
    settings = find_settings(home, {})

    assert make_url(settings.database_url).database == f"{home}/dnnsweep.db"
    assert make_url(settings.tracking_uri).database == f"{home}/mlflow.db"
    assert settings.is_tracking_embedded
