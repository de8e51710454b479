"""A test that needs PostgreSQL is not skipped in silence where there has to be one."""

from __future__ import annotations

import postgres
import pytest


@pytest.mark.parametrize(
    ("required", "expected"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)], ids=["skipped", "failed"]
)
def test_without_postgresql_a_test_is_skipped_or_fails_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, required: str, expected: type[BaseException]
) -> None:
    monkeypatch.setattr(postgres, "programs", lambda: None)
    monkeypatch.setenv(postgres.REQUIRED, required)

    with pytest.raises(expected, match="there is no PostgreSQL"), postgres.running():
        pass
