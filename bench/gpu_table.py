"""docs/performance.md: trial arrays on a GPU, from what `bench.run_programs` and `bench.core_time` wrote.

Run as a script: `python -m bench.gpu_table CORE_TIME RESULTS ...`. Several results are of several runs; the table shows
medians over them.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench import report

#: What results are told apart by.
Key = tuple[str, int, str]
PACKAGES: Final = ("tensorflow", "keras", "numpy")
#: Cores that the time of one core is set against, as elsewhere on the page.
N_CORES: Final = 2
DEFAULT: Final = "tf32"
PRECISIONS: Final = {"tf32": "single, products in TF32", "float32": "single", "float64": "double"}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return what the lines of a file of JSON hold."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def merged(results: Sequence[Sequence[Mapping[str, Any]]]) -> dict[Key, dict[str, Any]]:
    """Return one result for each program: medians of times over runs, and all else from the first.

    Example:
        >>> program = {"case": "digits", "slots": 1, "precision": "tf32"}
        >>> runs = [[{**program, "call_milliseconds": time}] for time in (1.0, 3.0)]
        >>> merged(runs)["digits", 1, "tf32"]["call_milliseconds"]
        2.0
    """
    found: dict[Key, list[Mapping[str, Any]]] = {}
    for result in (result for of_run in results for result in of_run):
        found.setdefault((result["case"], result["slots"], result["precision"]), []).append(result)
    return {
        key: {**same[0]}
        | {
            name: statistics.median(result[name] for result in same)
            for name in same[0]
            if name.endswith(("_milliseconds", "_seconds"))
        }
        for key, same in found.items()
    }


def microseconds(result: Mapping[str, Any], name: str = "call_milliseconds") -> float:
    """Return the microseconds of an epoch of a trial."""
    return float(result[name]) * 1000 / int(result["slots"])


def by_slots(results: Mapping[Key, Mapping[str, Any]]) -> str:
    """Return the table of each network's times over K."""
    of_default = {key[:2]: result for key, result in results.items() if key[2] == DEFAULT}
    slots = sorted({n_slots for _, n_slots in of_default})
    weights = {case: result["n_weights"] for (case, _), result in of_default.items()}
    rows = [
        [case, f"{weights[case]:,}", *(_cell(of_default.get((case, n_slots))) for n_slots in slots)]
        for case in sorted(weights, key=lambda case: weights[case])
    ]
    return report.table(["microseconds", "weights", *(f"K = {n_slots}" for n_slots in slots)], rows)


def _cell(result: Mapping[str, Any] | None) -> str:
    return "" if result is None else _shown(microseconds(result))


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def against_cores(results: Mapping[Key, Mapping[str, Any]], cores: Sequence[Mapping[str, Any]]) -> str:
    """Return the table that sets the GPU, with as many slots as it gets, against the cores of a CPU."""
    return report.table(
        [
            "microseconds",
            "K",
            "program",
            "and copies",
            "host's work",
            f"{N_CORES} cores, program (K)",
            "times as fast, program",
            "times as fast, all",
        ],
        (_against(results, of_case) for of_case in cores),
    )


def _against(results: Mapping[Key, Mapping[str, Any]], of_case: Mapping[str, Any]) -> list[str]:
    case, host = of_case["case"], of_case["host_microseconds"]
    result = results[case, of_case["host_slots"], DEFAULT]
    program, whole = microseconds(result), microseconds(result, "call_with_copies_milliseconds")
    on_cores = of_case["program_microseconds"] / N_CORES
    return [
        case,
        str(result["slots"]),
        *map(_shown, (program, whole, host)),
        f"{_shown(on_cores)} ({of_case['slots']})",
        _shown(on_cores / program),
        _shown((on_cores + host / N_CORES) / (whole + host)),
    ]


def precisions(results: Mapping[Key, Mapping[str, Any]]) -> str:
    """Return the table of how far results are from double precision."""
    return report.table(
        ["after one epoch", "computed by", "loss, relative", "weights, relative", "weights, largest"],
        _precise(results),
    )


def _precise(results: Mapping[Key, Mapping[str, Any]]) -> Iterator[list[str]]:
    for case, n_slots, precision in results:
        if precision == "float64":
            # In double precision the GPU is as good as exact, so what TensorFlow's result is from it is its own error.
            on_cpu = results[case, n_slots, precision]["against_expected"]
            yield [case, "the CPU, single", *_errors(on_cpu)]
            for other, shown in PRECISIONS.items():
                yield [case, f"the GPU, {shown}", *_errors(results[case, n_slots, other]["against_exact"])]


def _errors(found: Mapping[str, float]) -> list[str]:
    return [f"{found[name]:.1e}" for name in ("loss_relative", "weights_relative", "weights_absolute")]


def costs(results: Mapping[Key, Mapping[str, Any]]) -> str:
    """Return the table of what full single precision costs where there are results of both."""
    pairs = {key: key[:2] for key in results if key[2] == "float32"}
    rows = [
        [case, str(n_slots), _cell(results[case, n_slots, DEFAULT]), _cell(results[key])]
        for key, (case, n_slots) in pairs.items()
    ]
    return report.table(["microseconds", "K", "products in TF32", "in single precision"], rows)


def main(core_time: Path, files: Sequence[Path]) -> None:
    """Write the tables into docs/performance.md."""
    runs = [lines_of(file) for file in files]
    about = runs[0][0]
    results = merged([of_run[1:] for of_run in runs])
    head = f"{about['device']}, JAX {about['jax']}; {report.machine(len(files), PACKAGES)}"
    parts = (by_slots(results), against_cores(results, lines_of(core_time)), precisions(results), costs(results))
    report.write("gpu", "\n\n".join([head, *parts]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
