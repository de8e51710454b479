"""Run the benchmarks: `python -m bench [PART ...]`. Tables go into docs/performance.md and pages of single parts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from bench import answered, answers, diseases, pruners, report, service, speeds, stopping, sweeps
from bench.sweeps import Effort

PARTS: Final[dict[str, Callable[[Effort], str]]] = {
    "hundred": sweeps.hundred,
    "thousand": sweeps.thousand,
    "memory": sweeps.memory,
    "overhead": sweeps.overhead,
    "epochs": speeds.epochs,
    "cnn": speeds.cnn,
    "sizes": speeds.sizes,
    "pruners": pruners.pruners,
    "service": service.service,
    "answers": answers.answers,
    "answered": answered.answered,
    "stopping": stopping.stopping,
    "diseases": diseases.diseases,
}

#: Parts that give the same on every machine.
SIMULATED: Final = {"answers", "diseases", "stopping"}


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks, side by side in one run.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--repetitions", type=int, default=3, help="of each contender, in turns (3)")
    parser.add_argument("--whole", action="store_true", help="rivals run all their trials (hours)")
    parser.add_argument("--quick", action="store_true", help="see that it works: few trials, nothing is written")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"parts must be of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    effort = Effort(given.repetitions, given.whole, given.quick)
    for name in given.parts or PARTS:
        packages = report.PACKAGES_OF_SERVICE if name == "service" else report.PACKAGES
        text = PARTS[name](effort)
        if name not in SIMULATED:
            text = f"{report.machine(effort.repetitions, packages)}\n\n{text}"
        if not effort.is_quick:
            report.write(name, text)
        print(text, flush=True)


if __name__ == "__main__":
    main()
