"""What each token may use of the service, with a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock
from starlette.concurrency import run_in_threadpool

from dnnsweep.errors import QueryError
from dnnsweep.ledger.database import LIBPQ
from dnnsweep.ledger.deadlines import ANSWER_SECONDS
from dnnsweep.query import MAX_COMPARISONS, MAX_LENGTH
from dnnsweep.service.bodies import BODY_SECONDS
from dnnsweep.service.connections import (
    ADMITTED,
    HEAD_SECONDS,
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    MAX_PIPELINED,
    SEND_SECONDS,
    Room,
)
from dnnsweep.service.problems import RefusalError
from dnnsweep.service.quotas import (
    FAILURES_A_SECOND,
    MAX_ADDRESSES,
    MAX_FAILURES,
    MAX_STREAMS,
    MAX_STREAMS_OF_TOKEN,
    N_THREADS,
    N_THREADS_OF_TOKEN,
    REQUEST_SECONDS,
    SAVED_SECONDS,
    WAIT_SECONDS,
    Bucket,
    Quotas,
    metered,
)
from dnnsweep.service.state import STATEMENT_SECONDS
from dnnsweep.service.tokens import Token
from dnnsweep.settings import Limits

EVE, ANNA = Token("eve", "e", may_write=False), Token("anna", "a", may_write=False)
RATE = 20


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def quotas(clock: FakeClock) -> Quotas:
    return Quotas(RATE, clock)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.service.quotas.REFUSAL_SECONDS", 0.0)


async def ask(quotas: Quotas, token: Token | None) -> None:
    async with quotas.request(token, {}):
        pass


async def refusal(request: Coroutine[Any, Any, None]) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        await request
    return caught.value


def test_a_bucket_fills_up_to_its_size_and_says_how_long_to_wait(clock: FakeClock) -> None:
    bucket = Bucket(rate=2.0, size=4.0, clock=clock)

    bucket.take(4)
    assert bucket.wait_seconds() == 0.5  # one unit, at two a second
    bucket.take(3)
    assert bucket.wait_seconds() == 2.0
    clock.advance(2.0)
    assert bucket.wait_seconds() == 0.0
    clock.advance(1000.0)
    assert bucket.wait_seconds() == 0.0
    bucket.take(5)
    assert bucket.wait_seconds() == 1.0  # four were saved, not two thousand


def test_who_asks_too_often_is_refused_and_others_are_not(quotas: Quotas, clock: FakeClock) -> None:
    async def scenario() -> None:
        for _ in range(int(RATE * SAVED_SECONDS)):
            await ask(quotas, EVE)
        for _ in range(int(RATE * WAIT_SECONDS)):  # these would wait
            quotas._share_of(EVE).bucket.take()  # type: ignore[union-attr]
        refused = await refusal(ask(quotas, EVE))
        assert (refused.status, refused.headers) == (429, {"Retry-After": "11"})
        assert "20 requests a second" in refused.detail

        await ask(quotas, ANNA)
        clock.advance(WAIT_SECONDS + 1)
        await ask(quotas, EVE)

    asyncio.run(scenario())


def test_a_request_that_takes_long_counts_as_several_whatever_comes_of_it(
    quotas: Quotas, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = FakeClock()
    monkeypatch.setattr("dnnsweep.service.quotas.thread_time", processor)

    def work(error: Exception | None) -> None:
        processor.advance(20 * REQUEST_SECONDS)
        if error is not None:
            raise error

    async def scenario() -> None:
        for error in (None, QueryError("wrong")):
            with suppress(QueryError):
                async with quotas.request(EVE, {}):
                    await run_in_threadpool(metered(work), error)
        await quotas.run(EVE, lambda: work(None))
        await ask(quotas, EVE)

    asyncio.run(scenario())

    share = quotas._share_of(EVE)
    assert share is not None
    assert share.bucket._level == pytest.approx(RATE * SAVED_SECONDS - 3 * 20 - 1)


def test_of_one_token_few_requests_run_at_once_and_another_token_does_not_wait(
    quotas: Quotas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.service.quotas.WAIT_SECONDS", 0.05)

    async def scenario() -> None:
        async with AsyncExitStack() as running:
            for _ in range(N_THREADS_OF_TOKEN):
                await running.enter_async_context(quotas.request(EVE, {}))
            refused = await refusal(ask(quotas, EVE))
            assert refused.status == 429
            await ask(quotas, ANNA)
        await ask(quotas, EVE)

    asyncio.run(scenario())


def test_when_all_threads_are_busy_everybody_is_told_so(quotas: Quotas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.service.quotas.WAIT_SECONDS", 0.05)

    async def scenario() -> None:
        async with AsyncExitStack() as running:
            for _ in range(N_THREADS):  # without tokens there are no shares
                await running.enter_async_context(quotas.request(None, {}))
            assert (await refusal(ask(quotas, None))).status == 503
            assert (await refusal(ask(quotas, ANNA))).status == 503
        await ask(quotas, ANNA)

    asyncio.run(scenario())


def test_a_request_is_admitted_only_when_it_is_its_turn(quotas: Quotas) -> None:
    async def scenario() -> None:
        scopes: list[dict[str, Any]] = [{} for _ in range(N_THREADS_OF_TOKEN + 1)]
        async with AsyncExitStack() as running:
            for scope in scopes[:-1]:
                await running.enter_async_context(quotas.request(EVE, scope))
            waiting = asyncio.create_task(running.enter_async_context(quotas.request(EVE, scopes[-1])))
            await asyncio.sleep(0)
            assert [scope.get(ADMITTED) for scope in scopes] == [True] * N_THREADS_OF_TOKEN + [None]
            waiting.cancel()

    asyncio.run(scenario())


def test_streams_are_counted_for_each_token_and_all_together(quotas: Quotas) -> None:
    async def follow(token: Token | None) -> None:
        async with quotas.stream(token, {}):
            pass

    async def scenario() -> None:
        quotas.max_streams = MAX_STREAMS_OF_TOKEN + 1
        async with AsyncExitStack() as open_:
            for _ in range(MAX_STREAMS_OF_TOKEN):
                await open_.enter_async_context(quotas.stream(EVE, {}))
            assert (await refusal(follow(EVE))).status == 429
            await open_.enter_async_context(quotas.stream(ANNA, {}))
            assert (await refusal(follow(ANNA))).status == 503
            assert (await refusal(follow(None))).status == 503
        await follow(EVE)
        assert quotas.n_streams == 0

    asyncio.run(scenario())


def test_failures_are_counted_by_address_and_forgotten_in_time(quotas: Quotas, clock: FakeClock) -> None:
    async def scenario() -> None:
        for _ in range(MAX_FAILURES):
            await quotas.check_failures("10.0.0.1")
        refused = await refusal(quotas.check_failures("10.0.0.1"))
        assert (refused.status, refused.headers) == (429, {"Retry-After": "1"})
        await quotas.check_failures("10.0.0.2")
        clock.advance(1 / FAILURES_A_SECOND)
        await quotas.check_failures("10.0.0.1")
        for number in range(2 * MAX_ADDRESSES):
            await quotas.check_failures(f"10.1.{number // 256}.{number % 256}")
        assert len(quotas._failures) == MAX_ADDRESSES

    asyncio.run(scenario())


def test_the_manual_states_the_limits_as_they_are() -> None:
    manual = Path("docs/service.md").read_text(encoding="utf-8")
    for stated in (
        f"| {Limits().max_rate} (`DNNSWEEP_MAX_RATE`)",
        f"when the wait would exceed {WAIT_SECONDS:g} seconds, 429",
        f"| {N_THREADS_OF_TOKEN} of one token, {N_THREADS} in all |",
        f"| {MAX_STREAMS_OF_TOKEN} of one token, {MAX_STREAMS} in all |",
        f"| {FAILURES_A_SECOND:g} in a second, {MAX_FAILURES} after a pause |",
        f"for longer than {REQUEST_SECONDS * 1000:g} milliseconds counts",
        f"| {MAX_CONNECTIONS:,}, or what the limit of open files leaves room for: {Room.of(1024).n_connections} of",
        f"| {HEAD_SECONDS:g} seconds, {MAX_HEAD_BYTES:,} bytes |",
        f"| time for a body | {BODY_SECONDS:g} seconds |",
        f"| time for a client to take some of its answer | {SEND_SECONDS:g} seconds |",
        f"| requests that a client sends before it is answered | {MAX_PIPELINED} |",
        f"a statement of the service may take {STATEMENT_SECONDS:g} seconds",
        f"{MAX_LENGTH:,} characters and {MAX_COMPARISONS} comparisons",
    ):
        assert stated in " ".join(manual.split()), stated
    assert SAVED_SECONDS == 4  # up to four times as many at once
    assert 2 * WAIT_SECONDS + STATEMENT_SECONDS + ANSWER_SECONDS + LIBPQ["connect_timeout"] == 36
