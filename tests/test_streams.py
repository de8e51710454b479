"""Events for many readers of one sweep, from a store that is a list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dnnsweep.errors import LedgerAwayError, SweepNotFoundError
from dnnsweep.records import SweepState
from dnnsweep.service import streams
from dnnsweep.service.streams import EventLog, Pollers, Stream


class ListStore:
    """Events as they are stored: numbers, perhaps not in their order."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = [*numbers]
        self.state = SweepState.RUNNING
        self.error: Exception | None = None
        self.n_reads = 0

    def sweep(self, name: str) -> Any:
        self.n_reads += 1
        if self.error is not None:
            raise self.error
        plain: dict[str, Any] = {"name": name, "state": self.state.value, "n_trials": 9, "n_running": 0, "n_failed": 0}
        plain |= {"n_finished": len(self.numbers), "best_number": None, "best_value": None}
        return SimpleNamespace(state=self.state, to_json=lambda: plain)

    def events_after(self, _: Any, number: int, limit: int) -> list[tuple[int, Any]]:
        later = sorted(one for one in self.numbers if one > number)[:limit]
        return [(one, SimpleNamespace(to_json=dict)) for one in later]


class Reader:
    """What one reader of a stream hears."""

    def __init__(self, store: ListStore, pollers: Pollers, after: int = 0) -> None:
        async def run(work: Callable[[], Any]) -> Any:
            return work()

        log = EventLog(store, "digits", after)  # type: ignore[arg-type]
        self.is_closing = False
        self._stream = Stream(log, pollers, run, lambda: self.is_closing)
        self.texts: list[str] = []
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for text in self._stream.messages():
            self.texts.append(text)

    @property
    def numbers(self) -> list[int]:
        found = [text.partition("id: ")[2].partition("\n")[0] for text in self.texts if text.startswith("event: event")]
        return [int(number) for number in found]

    @property
    def kinds(self) -> list[str]:
        return [text.partition("event: ")[2].partition("\n")[0] for text in self.texts]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.002)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  it is about what others do
            await asyncio.sleep(0.001)


def run(scenario: Callable[[ListStore, Pollers], Any], *numbers: int) -> None:
    async def whole() -> None:
        await scenario(ListStore(*numbers), Pollers())

    asyncio.run(whole())


def test_every_reader_hears_each_event_once_also_one_that_is_stored_late() -> None:
    async def scenario(store: ListStore, pollers: Pollers) -> None:
        first, second = Reader(store, pollers), Reader(store, pollers, after=2)
        await until(lambda: first.numbers == [1, 2, 3] and second.numbers == [3])
        store.numbers += [6]
        await until(lambda: first.numbers[-1] == second.numbers[-1] == 6)
        third = Reader(store, pollers)
        await until(lambda: third.numbers == [1, 2, 3, 6])
        store.numbers += [5, 7]
        await until(lambda: third.numbers[-1] == first.numbers[-1] == second.numbers[-1] == 7)
        store.state = SweepState.COMPLETE
        await asyncio.gather(first.task, second.task, third.task)

        assert first.numbers == third.numbers == [1, 2, 3, 6, 5, 7]
        assert second.numbers == [3, 6, 5, 7]
        assert {reader.kinds[-1] for reader in (first, second, third)} == {"end"}
        assert all("id: 7" in reader.texts[-1] for reader in (first, second, third))

    run(scenario, 1, 2, 3)


def test_the_ledger_is_read_no_more_often_for_many_readers_than_for_one() -> None:
    async def scenario(store: ListStore, pollers: Pollers) -> None:
        readers = [Reader(store, pollers) for _ in range(50)]
        await until(lambda: all(reader.numbers == [1, 2, 3] for reader in readers))
        poller = pollers._running["digits"][0]
        await until(lambda: poller.n_readers == 50)
        before = store.n_reads
        for number in range(4, 14):
            store.numbers.append(number)
            await until(lambda: readers[-1].numbers[-1] == number)  # noqa: B023  it is awaited at once
        n_reads = store.n_reads - before
        for reader in readers:
            reader.task.cancel()
        await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)

        assert n_reads < 10 * 50
        assert all(reader.numbers == list(range(1, 14)) for reader in readers)
        assert pollers._running == {}

    run(scenario, 1, 2, 3)


def test_a_long_history_is_read_page_by_page_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAGE", 10)
    monkeypatch.setattr(streams, "MAX_KNOWN", 30)

    async def scenario(store: ListStore, pollers: Pollers) -> None:
        reader = Reader(store, pollers)
        await until(lambda: len(reader.numbers) == 95)
        store.numbers += range(96, 200)  # more than a poller keeps
        await until(lambda: len(reader.numbers) == 199)
        store.state = SweepState.STOPPED
        await reader.task

        assert reader.numbers == list(range(1, 200))

    run(scenario, *range(1, 96))


def test_a_reader_that_falls_behind_reads_by_itself_what_it_has_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAGE", 10)
    monkeypatch.setattr(streams, "MAX_KNOWN", 20)

    async def scenario(store: ListStore, pollers: Pollers) -> None:
        fast = Reader(store, pollers)
        await until(lambda: fast.numbers == [1])
        slow, heard = Reader(store, pollers), list[str]()
        slow.task.cancel()
        stream = slow._stream.messages()
        while "progress" not in (text := await anext(stream)):
            heard.append(text)
        for end in (40, 80, 120):
            store.numbers += range(end - 38, end + 2)
            await until(lambda: len(fast.numbers) == end + 1)  # noqa: B023  it is awaited at once
        store.state = SweepState.COMPLETE
        heard += [text async for text in stream]

        assert [text for text in heard if text.startswith("event: event")] == [
            text for text in fast.texts if text.startswith("event: event")
        ]
        await fast.task

    run(scenario, 1)


@pytest.mark.parametrize("is_known", [False, True])
def test_readers_of_a_sweep_that_is_deleted_hear_it(is_known: bool) -> None:
    async def scenario(store: ListStore, pollers: Pollers) -> None:
        if not is_known:
            store.error = SweepNotFoundError("gone")
        readers = [Reader(store, pollers) for _ in range(2)]
        if is_known:
            await until(lambda: all(reader.kinds[-1:] == ["progress"] for reader in readers))
            store.error = SweepNotFoundError("gone")
        await asyncio.gather(*(reader.task for reader in readers))

        assert [reader.kinds[-1] for reader in readers] == ["deleted"] * 2

    run(scenario, 1)


def test_readers_are_kept_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.0)

    async def scenario(store: ListStore, pollers: Pollers) -> None:
        early = Reader(store, pollers)
        await until(lambda: early.numbers == [1])
        store.error = LedgerAwayError("away")
        late = Reader(store, pollers)
        await until(lambda: ": alive" in late.texts[-1:][0] if late.texts else False)
        await until(lambda: ": alive" in early.texts[-1])
        store.error = None
        store.numbers.append(2)
        store.state = SweepState.COMPLETE
        await asyncio.gather(early.task, late.task)

        assert early.numbers == late.numbers == [1, 2]

    run(scenario, 1)


def test_a_poller_that_fails_ends_its_readers(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(store: ListStore, pollers: Pollers) -> None:
        reader = Reader(store, pollers)
        await until(lambda: "digits" in pollers._running and pollers._running["digits"][0].sweep is not None)
        store.error = RuntimeError("unforeseen")
        await reader.task
        assert reader.kinds == ["event", "progress"]  # no end: it may come back

        assert "the events of sweep digits cannot be followed" in caplog.text

    run(scenario, 1)


def test_the_end_of_the_service_ends_every_stream() -> None:
    async def scenario(store: ListStore, pollers: Pollers) -> None:
        reader = Reader(store, pollers)
        await until(lambda: reader.numbers == [1])
        reader.is_closing = True
        await reader.task

        assert reader.kinds == ["event", "progress"]
        assert pollers._running == {}

    run(scenario, 1)
