"""How much of the service each token may use: requests, reads at once, streams; and how often an address may fail."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction
from time import thread_time
from typing import Any, Final, ParamSpec, TypeVar

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from dnnsweep.service.connections import ADMITTED
from dnnsweep.service.problems import RefusalError
from dnnsweep.service.tokens import Token

P = ParamSpec("P")
T = TypeVar("T")
#: Requests that may use the ledger at the same time; the others wait, which is quicker than if all ran at once.
N_THREADS: Final = 8
#: How many of them may be those of one token.
N_THREADS_OF_TOKEN: Final = 1
#: A request that takes a processor for longer than this counts as several.
REQUEST_SECONDS: Final = 0.005
#: A token may save up what it does not use, for so many seconds.
SAVED_SECONDS: Final = 4.0
#: How long a request waits for its turn before it is refused.
WAIT_SECONDS: Final = 10.0
#: How long a refusal is held back, so that who asks again at once does not keep the service busy.
REFUSAL_SECONDS: Final = 1.0
#: The most readers that may follow events at once, and how many of them may be those of one token.
MAX_STREAMS: Final = 200
MAX_STREAMS_OF_TOKEN: Final = 20
#: Requests a second without an accepted token from one address, and the most at once.
FAILURES_A_SECOND: Final = 2.0
MAX_FAILURES: Final = 20
#: Addresses whose failures are counted; those that have not failed for the longest time are forgotten first.
MAX_ADDRESSES: Final = 1_000
#: Seconds of a processor that threads have taken for the request of this context.
_SPENT: Final[ContextVar[list[float]]] = ContextVar("spent")


def metered(work: Callable[P, T]) -> Callable[P, T]:
    """Return a function that does the same, and counts how long it takes a processor for its request."""

    @wraps(work)
    def measured(*arguments: P.args, **named: P.kwargs) -> T:
        began = thread_time()
        try:
            return work(*arguments, **named)
        finally:
            _SPENT.get([]).append(thread_time() - began)

    return measured


class MeteredRoute(APIRoute):
    """A route whose endpoint, if it runs in a thread, is metered."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint if iscoroutinefunction(endpoint) else metered(endpoint), **options)


class Bucket:
    """Fills up by so many units a second, to a limit. Whoever takes more than there are has to wait until there are.

    Args:
        rate: Units a second.
        size: The most units.
        clock: Returns seconds.
    """

    def __init__(self, rate: float, size: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._size = size
        self._clock = clock
        self._level = size
        self._filled_at = clock()

    def wait_seconds(self) -> float:
        """Return how long it takes until there is a unit."""
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return max(0.0, (1 - self._level) / self._rate)

    def take(self, n_units: float = 1.0) -> None:
        """Take units, even if they are not there yet."""
        self._level -= n_units


class Share:
    """What one token uses.

    Args:
        rate: Requests a second.
        clock: Returns seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.bucket = Bucket(rate, rate * SAVED_SECONDS, clock)
        self.slots = asyncio.Semaphore(N_THREADS_OF_TOKEN)
        self.n_streams = 0


class Quotas:
    """What all tokens use together, and each of them. Where there are no tokens, only the sum counts.

    Args:
        rate: Requests of a token a second; those that take longer than `REQUEST_SECONDS` count as several.
        clock: Returns seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._slots = asyncio.Semaphore(N_THREADS)
        self._shares: dict[str, Share] = {}
        self._failures: OrderedDict[str, Bucket] = OrderedDict()
        self.n_streams = 0
        self.max_streams = MAX_STREAMS

    @asynccontextmanager
    async def request(self, token: Token | None, scope: MutableMapping[str, Any]) -> AsyncIterator[None]:
        """Wait until it is a request's turn, and let it count by the time that it takes.

        Args:
            token: Token of the request; None where there are none.
            scope: ASGI's scope of the request, which is marked as admitted.

        Raises:
            RefusalError: Its turn does not come soon.
        """
        share = self._share_of(token)
        if share is not None:
            await self._wait_for_rate(share.bucket)
        async with AsyncExitStack() as stack:
            await self._wait_for_slots(share, stack)
            scope[ADMITTED] = True
            with self._charged(share):
                yield

    async def run(self, token: Token | None, work: Callable[[], T]) -> T:
        """Run a part of a stream in a thread, however long it takes until it is its turn."""
        share = self._share_of(token)
        async with AsyncExitStack() as stack:
            if share is not None:
                seconds = share.bucket.wait_seconds()
                share.bucket.take()
                await asyncio.sleep(seconds)
                await stack.enter_async_context(share.slots)
            await stack.enter_async_context(self._slots)
            with self._charged(share):
                return await run_in_threadpool(metered(work))

    @contextmanager
    def _charged(self, share: Share | None) -> Iterator[None]:
        """Let a request that takes much of a processor count as several, whatever comes of it."""
        spent: list[float] = []
        _SPENT.set(spent)
        try:
            yield
        finally:
            if share is not None:
                share.bucket.take(max(0.0, sum(spent) / REQUEST_SECONDS - 1))

    @asynccontextmanager
    async def stream(self, token: Token | None, scope: MutableMapping[str, Any]) -> AsyncIterator[None]:
        """Count a reader who follows events.

        Raises:
            RefusalError: There are too many of them, or too many of this token.
        """
        share = self._share_of(token)
        if share is not None and share.n_streams >= MAX_STREAMS_OF_TOKEN:
            detail = f"at most {MAX_STREAMS_OF_TOKEN} readers of one token may follow events at once; try again later"
            raise await _refusal(429, detail, WAIT_SECONDS)
        if self.n_streams >= self.max_streams:
            detail = f"at most {self.max_streams} readers may follow events at once; try again later"
            raise await _refusal(503, detail, WAIT_SECONDS)
        counts: list[Quotas | Share] = [self] if share is None else [self, share]
        for count in counts:
            count.n_streams += 1
        scope[ADMITTED] = True
        try:
            yield
        finally:
            for count in counts:
                count.n_streams -= 1

    async def check_failures(self, address: str) -> None:
        """Count a request without an accepted token.

        Raises:
            RefusalError: There are too many of them from its address.
        """
        bucket = self._failures.setdefault(address, Bucket(FAILURES_A_SECOND, MAX_FAILURES, self._clock))
        self._failures.move_to_end(address)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        seconds = bucket.wait_seconds()
        if seconds > 0:
            rule = (
                f"at most {FAILURES_A_SECOND:g} requests a second from one address may come without an accepted token"
            )
            raise await _refusal(429, f"{rule}; set DNNSWEEP_TOKEN", seconds)
        bucket.take()

    def _share_of(self, token: Token | None) -> Share | None:
        return None if token is None else self._shares.setdefault(token.name, Share(self._rate, self._clock))

    async def _wait_for_rate(self, bucket: Bucket) -> None:
        seconds = bucket.wait_seconds()
        if seconds > WAIT_SECONDS:
            detail = f"a token may send {self._rate:g} requests a second, long ones count as several; send fewer"
            raise await _refusal(429, detail, seconds)
        bucket.take()
        await asyncio.sleep(seconds)

    async def _wait_for_slots(self, share: Share | None, stack: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                if share is not None:
                    await stack.enter_async_context(share.slots)
        except TimeoutError as error:
            detail = f"{N_THREADS_OF_TOKEN} requests of a token are answered at once, and these take long; send fewer"
            raise await _refusal(429, detail, WAIT_SECONDS) from error
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await stack.enter_async_context(self._slots)
        except TimeoutError as error:
            raise await _refusal(503, "the service is busy with other requests; try again", WAIT_SECONDS) from error


async def _refusal(status: int, detail: str, seconds: float) -> RefusalError:
    """Return a refusal, after a while, that says in how many seconds to try again."""
    await asyncio.sleep(REFUSAL_SECONDS)
    return RefusalError(status, detail, {"Retry-After": str(max(1, math.ceil(seconds)))})
