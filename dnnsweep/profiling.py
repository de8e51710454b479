"""Profiling: where the time of a run goes, part by part."""

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
        parts: Seconds by part: wall time of `ask`, `tell`, `ledger` and `mlflow`, processor time of `messages`
            (everything else that the controller's thread does).
        calls: How often each part was entered.
        trials: Trials that ended in this run.
        seconds: Wall time of the whole run.
        occupancy: Share of slots that were busy until the last trial was handed out; None without slots.
        trainer_memory_mb: Pairs of the trials that a trainer had ended and its resident memory then, in MB.
    """

    parts: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    trials: int = 0
    seconds: float = 0.0
    occupancy: float | None = None
    trainer_memory_mb: list[tuple[int, float]] = field(default_factory=list)
    _processor: float = 0.0

    def time_methods(self, part: str, target: T, *methods: str) -> T:
        """Return a proxy of an object that times some of its methods as one part."""
        return cast("T", _Timed(target, {name: self.time_calls(part, getattr(target, name)) for name in methods}))

    def time_context(self, part: str, target: T, method: str) -> T:
        """Return a proxy of an object that times one of its context managers while it opens and closes."""
        return cast("T", _Timed(target, {method: lambda: _TimedContext(self, part, getattr(target, method)())}))

    def time_calls(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls another and adds its time to a part."""

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

    def time_whole(self, run: Callable[[], T]) -> T:
        """Call the function that does all of the controller's work; time that no other part took goes to `messages`."""
        began, processor = time.perf_counter(), time.thread_time()
        try:
            return run()
        finally:
            self.seconds = time.perf_counter() - began
            self.parts["messages"] = time.thread_time() - processor - self._processor

    def note_usage(self, *, n_slots: int, n_busy: int, memory_mb: list[tuple[int, float]]) -> None:
        """Take in what the trainers used, once all of them have ended.

        Args:
            n_slots: Epochs times slots.
            n_busy: Those of them in which there was a trial.
            memory_mb: Trials that a trainer had ended, and its resident memory then.
        """
        self.occupancy = n_busy / n_slots if n_slots else None
        self.trainer_memory_mb = memory_mb
        self.trials = self.calls.get("tell", 0)

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
