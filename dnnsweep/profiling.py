"""Where the time of a run goes, by part; measured only where somebody asks."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass(slots=True)
class Profile:
    """What was measured in one run of a sweep.

    Args:
        parts: Seconds by part: `ask`, `tell`, `ledger` and `mlflow` by the clock, `messages` (everything else that the
            controller's thread does) by the processor's time.
        calls: How often each part was entered.
        trials: Trials that ended in this run.
        seconds: Of the whole run.
        occupancy: Share of slots that were busy, up to the moment when the last trial was handed out; None where there
            were none.
        trainer_memory_mb: Trials that a trainer had ended, and its resident memory then.
    """

    parts: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    trials: int = 0
    seconds: float = 0.0
    occupancy: float | None = None
    trainer_memory_mb: list[tuple[int, float]] = field(default_factory=list)
    _processor: float = 0.0

    def time_methods(self, part: str, target: T, *methods: str) -> T:
        """Return a stand-in for an object, some of whose methods are timed under the name of a part."""
        return cast("T", _Timed(target, {name: self.time_calls(part, getattr(target, name)) for name in methods}))

    def time_context(self, part: str, target: T, method: str) -> T:
        """Return a stand-in for an object, one of whose context managers is timed while it opens and closes."""
        return cast("T", _Timed(target, {method: lambda: _TimedContext(self, part, getattr(target, method)())}))

    def time_calls(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls another one and adds its time to a part."""

        @functools.wraps(method)
        def timed(*arguments: Any, **named: Any) -> Any:
            began, processor = time.perf_counter(), time.thread_time()
            try:
                return method(*arguments, **named)
            finally:
                self.parts[part] = self.parts.get(part, 0.0) + time.perf_counter() - began
                self.calls[part] = self.calls.get(part, 0) + 1
                if part != "mlflow":  # in a thread of its own
                    self._processor += time.thread_time() - processor

        return timed

    def whole(self, run: Callable[[], T]) -> T:
        """Call a function that is the controller's whole work; what no other part took goes to `messages`."""
        began, processor = time.perf_counter(), time.thread_time()
        try:
            return run()
        finally:
            self.seconds = time.perf_counter() - began
            self.parts["messages"] = time.thread_time() - processor - self._processor

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "trials": self.trials,
            "seconds": self.seconds,
            "parts": self.parts,
            "calls": self.calls,
            "occupancy": self.occupancy,
            "trainer_memory_mb": [list(point) for point in self.trainer_memory_mb],
        }


class _TimedContext:
    def __init__(self, profile: Profile, part: str, context: Any) -> None:
        self._enter = profile.time_calls(part, context.__enter__)
        self._exit = profile.time_calls(part, context.__exit__)

    def __enter__(self) -> Any:
        return self._enter()

    def __exit__(self, *error: object) -> Any:
        return self._exit(*error)


class _Timed:
    def __init__(self, target: Any, methods: dict[str, Callable[..., Any]]) -> None:
        self._target = target
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._target, name)
