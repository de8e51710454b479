"""A fuzzer reads the service's own description and finds nothing that it cannot answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from examples import n_examples
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from serving import WRITER, settings_of, sweep

from dnnsweep.service.app import create_app
from dnnsweep.settings import Limits
from dnnsweep.stores.local import LocalStore

CHECKS: list[Any] = [not_a_server_error, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The service's description; what would be told without end is told once."""
    known = settings_of(tmp_path_factory.mktemp("fuzzed"))
    with pytest.MonkeyPatch.context() as patch, LocalStore.opened(known, create=True) as home:
        patch.setattr("dnnsweep.service.streams.has_ended", lambda _: True)
        home.submit(sweep("digits"))
        app = create_app(known, Limits(), [WRITER])
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Authorization": f"Bearer {WRITER.secret}"})


@pytest.mark.filterwarnings("ignore")  # the fuzzer's own
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_fits_the_description_or_nearly_does_is_answered(described: Any, mode: GenerationMode) -> None:
    statuses: Counter[int] = Counter()
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=n_examples(25),
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {WRITER.secret}"})
            statuses[answer.status_code] += 1

        with suppress(Unsatisfiable):  # a route without parameters cannot be asked wrongly
            ask()
    assert sum(statuses.values()) > 4 * n_examples(25)
    assert {200, 404, 422} <= set(statuses) if mode is GenerationMode.POSITIVE else {404, 422} <= set(statuses)
