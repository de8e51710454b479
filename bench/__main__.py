"""Run the benchmarks and write their tables into docs/performance.md: `python -m bench [PART ...]`."""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench import epochs, sweeps
from bench.numbers import ratios, replaced, spread

REPORT = Path("docs/performance.md")
SLOTS = (1, 4, 16)


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks, side by side in one run.")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them if none is named")
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args()
    for name in given.parts or PARTS:
        text = f"{_machine()}\n\n{PARTS[name](given.repetitions)}"
        REPORT.write_text(replaced(REPORT.read_text(encoding="utf-8"), f"bench:{name}", text), encoding="utf-8")
        print(text, flush=True)


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "optuna", "mlflow"))
    today = dt.datetime.now(tz=dt.UTC).date()
    return f"{today}, {os.cpu_count()} cores of {model}, Python {platform.python_version()}, {packages}:"


def _sweeps(n: int) -> str:
    plain, empty, warm = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as kept:
        sweeps.dnnsweep(4, Path(kept))
        for _ in range(n):
            plain.append(sweeps.plain_loop(100))
            warm.append(sweeps.dnnsweep(100, Path(kept))[0])
            with tempfile.TemporaryDirectory() as fresh:
                empty.append(sweeps.dnnsweep(100, Path(fresh))[0])
    return "\n".join(
        [
            "| 100 trials, from enter to answer | seconds | times as fast as the plain loop | goal |",
            "|---|---|---|---|",
            f"| plain loop of Optuna, `fit` and MLflow (extrapolated) | {spread(plain)} | 1 | |",
            f"| dnnsweep, compiled programs at hand | {spread(warm)} | {spread(ratios(plain, warm))} | 25 |",
            f"| dnnsweep, empty cache | {spread(empty)} | {spread(ratios(plain, empty))} | 18 |",
        ]
    )


def _thousand(n: int) -> str:
    plain, ours, profiles = list[float](), list[float](), []
    with tempfile.TemporaryDirectory() as kept:
        sweeps.dnnsweep(4, Path(kept))
        for _ in range(n):
            plain.append(sweeps.plain_loop(30) / 30 * 1000)
            seconds, profile = sweeps.dnnsweep(1000, Path(kept))
            ours.append(seconds)
            profiles.append(profile)
    parts = sorted({part for profile in profiles for part in profile["parts"]})
    memory = [_growth([tuple(point) for point in profile["trainer_memory_mb"]]) for profile in profiles]
    rows = [f"| {part} | {spread([profile['parts'][part] for profile in profiles])} |" for part in parts]
    return "\n".join(
        [
            "| 1,000 trials | | goal |",
            "|---|---|---|",
            f"| plain loop, ms per trial (of 30) | {spread(plain)} | |",
            f"| dnnsweep, ms per trial | {spread(ours)} | |",
            f"| times as fast | {spread(ratios(plain, ours))} | 45 |",
            f"| slots that were busy while trials were left | {spread([p['occupancy'] for p in profiles])} | 0.9 |",
            f"| memory of a trainer from its 100th trial to its last, MB | {spread(memory)} | 50 |",
            "",
            "| ms per trial, by part | |",
            "|---|---|",
            *rows,
        ]
    )


def _growth(points: list[tuple[int, float]]) -> float:
    """Return by how much memory grew after 100 trials."""
    early = [memory for n_trials, memory in points if n_trials <= 100]
    return max(memory for _, memory in points) - max(early) if early else math.nan


def _epochs(n: int) -> str:
    lines = [
        "| one epoch of one trial, ms | processes | " + " | ".join(epochs.CASES) + " |",
        "|---|---|" + "---|" * len(epochs.CASES),
    ]
    contenders = [("fit", 1), ("sgemm", 1), *((f"array:{k}", p) for k in SLOTS for p in (1, 2))]
    at_hand = [name for name, case in epochs.CASES.items() if epochs.is_at_hand(case)]
    times: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(n):
        for contender, processes in contenders:
            for name in at_hand:
                times.setdefault((name, contender, processes), []).append(epochs.measured(name, contender, processes))
    for contender, processes in contenders:
        cells = [spread(times[name, contender, processes]) if name in at_hand else "-" for name in epochs.CASES]
        lines.append(f"| {contender.replace(':', ', K = ')} | {processes} | {' | '.join(cells)} |")
    for label, reference in (("`fit` / best array", "fit"), ("sgemm on two cores / best array", "sgemm")):
        cells = [_against(times, name, reference) if name in at_hand else "-" for name in epochs.CASES]
        lines.append(f"| {label} | | {' | '.join(cells)} |")
    lines += [f"\n{name} was left out: set BENCH_DATA." for name in epochs.CASES if name not in at_hand]
    return "\n".join(lines)


def _against(times: dict[tuple[str, str, int], list[float]], name: str, reference: str) -> str:
    arrays = {key: values for key, values in times.items() if key[0] == name and key[1].startswith("array")}
    best = min(arrays.values(), key=statistics.median)
    share = 1 if reference == "fit" else 2  # one process a core
    return spread([value / share for value in ratios(times[name, reference, 1], best)])


PARTS: dict[str, Callable[[int], str]] = {"sweeps": _sweeps, "thousand": _thousand, "epochs": _epochs}

if __name__ == "__main__":
    main()
