"""The part on one epoch: trial arrays, `fit`, compiled Keras and the matrix products alone, in turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from bench.epochs import CASES, SIZES, Case, is_at_hand
from bench.numbers import ratios, spread, verdict
from bench.report import n_cores, table
from bench.sweeps import Effort

SLOTS: Final = (1, 2, 4, 8, 16)
#: How many times faster than `fit` the best array has to be; and the share of sgemm's speed that it has to reach.
FIT_GOALS: Final = {"digits": 80.0, "mnist": 4.5}
SGEMM_GOALS: Final = {"mnist": 0.6}
ONE_THREAD: Final = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
#: As TensorFlow starts unless it is told otherwise: a thread for each core.
ALL_CORES: Final = {
    "TF_NUM_INTRAOP_THREADS": "0",
    "TF_NUM_INTEROP_THREADS": "0",
    "OMP_NUM_THREADS": str(n_cores()),
}


class Entry(NamedTuple):
    """A contender of `epochs`, and how many processes of it run side by side; with 0, one has all cores."""

    contender: str
    n_processes: int


NAMES: Final = {
    "fit": "`fit`",
    "fit_jit": "`fit`, XLA, an epoch a call",
    "compiled": "compiled Keras, a loop of one's own",
    "sgemm": "sgemm alone",
    "built": "dnnsweep, by `network.builder`",
    **{f"array:{slots}": f"array, K = {slots}" for slots in SLOTS},
}
ARRAYS: Final = tuple(f"array:{slots}" for slots in SLOTS)
#: Contenders that share a process, and how many such processes; each of the two cores has one.
GROUPS: Final = (
    (("fit",), 0),
    (("fit",), 2),
    (("fit_jit",), 0),
    (("compiled",), 1),
    (("compiled",), 2),
    (("sgemm",), 1),
    (("sgemm",), 2),
    (ARRAYS, 1),
    (ARRAYS, 2),
)
#: The same for the small convolutional network that a function builds.
CNN_GROUPS: Final = ((("fit",), 0), (("fit",), 2), (("built",), 1), (("built",), 2))
CNN_GOAL: Final = 1.4
Times = Mapping[Entry, Sequence[float]]


def measured(case: str, contenders: Sequence[str], n_processes: int, seconds: float) -> list[float]:
    """Return the milliseconds of one epoch of one trial of each contender.

    Args:
        case: Of `CASES`.
        contenders: One after the other, in the same processes.
        n_processes: Side by side, of one thread each: together they train so many times more trials; 0 for one process
            with all cores.
        seconds: To measure each for.

    Raises:
        RuntimeError: A process ended without an answer.
    """
    command = [sys.executable, "-m", "bench.epochs", case, str(seconds), *contenders]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(ONE_THREAD if n_processes else ALL_CORES)}
    running = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        for _ in range(n_processes or 1)
    ]
    try:
        return [_together(running) for _ in contenders]
    finally:
        for process in running:
            process.communicate()


def _together(running: Sequence[subprocess.Popen[str]]) -> float:
    """Start all processes at once, when the last one is ready; return the milliseconds of all together."""
    for process in running:
        _line(process)
    for process in running:
        assert process.stdin is not None  # noqa: S101  it is a pipe
        process.stdin.write("go\n")
        process.stdin.flush()
    return 1 / sum(1 / float(_line(process)) for process in running)


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError("a contender ended without an answer; call python -m bench.epochs to see why")
    return line


def epochs(effort: Effort) -> str:
    """Measure all contenders on all data that are at hand, and return the tables."""
    at_hand = [name for name, case in CASES.items() if is_at_hand(case)]
    times: dict[str, dict[Entry, list[float]]] = {name: {} for name in at_hand}
    seconds = 0.3 if effort.is_quick else 2.0
    for _ in range(effort.repetitions):
        for contenders, n_processes in GROUPS:
            for name in at_hand:
                found = measured(name, contenders, n_processes, seconds)
                for contender, milliseconds in zip(contenders, found, strict=True):
                    times[name].setdefault(Entry(contender, n_processes), []).append(milliseconds)
    missing = [f"\n{name} was left out: BENCH_DATA names no folder with it." for name in CASES if name not in at_hand]
    return "\n".join([_all(times), "", _best(times), *missing])


def cnn(effort: Effort) -> str:
    """Measure an epoch of a small convolutional network, and return the tables."""
    times: dict[Entry, list[float]] = {}
    for _ in range(effort.repetitions):
        for contenders, n_processes in CNN_GROUPS:
            (found,) = measured("cnn", contenders, n_processes, 0.3 if effort.is_quick else 4.0)
            times.setdefault(Entry(*contenders, n_processes), []).append(found)
    best = min(
        (entry for entry in times if entry.contender == "built"), key=lambda entry: statistics.median(times[entry])
    )
    faster = ratios(times[Entry("fit", 0)], times[best])
    row = [f"{NAMES[best.contender]}, {_shown(best.n_processes)}", spread(faster), verdict(faster, CNN_GOAL)]
    return "\n".join([_all({"cnn": times}), "", table(["", "times as fast as `fit`", "goal"], [row])])


def sizes(effort: Effort) -> str:
    """Measure arrays of several numbers of slots over sizes of a network, and return the table."""
    times: dict[str, dict[str, list[float]]] = {name: {} for name in SIZES}
    for _ in range(effort.repetitions):
        for name, of_case in times.items():
            found = measured(name, ARRAYS, 2, 0.3 if effort.is_quick else 1.5)
            for contender, milliseconds in zip(ARRAYS, found, strict=True):
                of_case.setdefault(contender, []).append(milliseconds)
    rows = [
        [name, f"{_n_weights(SIZES[name]):,}", *(spread(of_case[contender]) for contender in ARRAYS)]
        for name, of_case in times.items()
    ]
    return table(["hidden", "weights", *(f"K = {slots}" for slots in SLOTS)], rows)


def _n_weights(case: Case) -> int:
    widths = (64, *case.hidden, 10)  # of digits
    return sum((a + 1) * b for a, b in pairwise(widths))


def _all(times: Mapping[str, Times]) -> str:
    entries = list(next(iter(times.values())))
    rows = [
        [NAMES[entry.contender], _shown(entry.n_processes), *(spread(times[name][entry]) for name in times)]
        for entry in sorted(entries, key=lambda entry: list(NAMES).index(entry.contender))
    ]
    return table(["ms for one epoch of one trial", "processes", *times], rows)


def _shown(n_processes: int) -> str:
    return f"{n_processes} of one thread" if n_processes else "1 with all cores"


def _best(times: Mapping[str, Times]) -> str:
    """Set the best array of each case against `fit` as it comes, and against the products on as many cores."""
    rows = []
    for name, measured_times in times.items():
        best = fastest(measured_times)
        faster = ratios(measured_times[Entry("fit", 0)], measured_times[best])
        share = ratios(measured_times[Entry("sgemm", best.n_processes)], measured_times[best])
        rows.append(
            [
                name,
                f"{NAMES[best.contender]}, {_shown(best.n_processes)}",
                spread(faster),
                verdict(faster, FIT_GOALS[name]) if name in FIT_GOALS else "",
                spread(share),
                verdict(share, SGEMM_GOALS[name]) if name in SGEMM_GOALS else "",
            ]
        )
    return table(["", "best array", "times as fast as `fit`", "goal", "share of sgemm's speed", "goal"], rows)


def fastest(times: Times) -> Entry:
    """Return the array whose median is the smallest."""
    arrays = [entry for entry in times if entry.contender.startswith("array")]
    return min(arrays, key=lambda entry: statistics.median(times[entry]))
