"""Time of a core that an epoch of a trial takes: in the program of a trial array on a CPU, and around it.

Run as a script: `python -m bench.core_time`. It prints a line of JSON for each network of `bench.programs`. What is
around the program is done on the CPU wherever the program runs. The time of a core, unlike that of the clock, depends
little on what else the machine does.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from bench.epochs import material_of, suggestions_of
from bench.programs import NETWORKS, n_weights_of
from dnnsweep.trainers.choice import SLOTS_BY_WEIGHTS
from dnnsweep.trainers.groups import group_of

N_WARM_UP: Final = 2
MIN_LAPS: Final = 5
SECONDS: Final = 3.0


def full_array(name: str, device: str) -> Any:
    """Return an array with as many slots as a network gets on a device, and a trial for each."""
    from dnnsweep.trainers.array.slots import TrialArray

    case, material = NETWORKS[name].case, material_of(NETWORKS[name].case)
    group = group_of(suggestions_of(case, 1)[0].params)
    n_weights = n_weights_of(TrialArray(group, material, 1).config)
    n_slots = next(slots for bound, slots in SLOTS_BY_WEIGHTS[device] if n_weights <= bound)
    array = TrialArray(group, material, n_slots)
    for suggestion in suggestions_of(case, n_slots):
        array.enqueue(suggestion)
    return array


class Calls:
    """Takes the place of a program's `run`, and notes the time of a core of each call.

    Args:
        run: The program's own.
        is_repeated: Whether it is called each time; otherwise all calls get the results of the first.
    """

    def __init__(self, run: Callable[..., Any], *, is_repeated: bool) -> None:
        self.seconds: list[float] = []
        self._run, self._is_repeated = run, is_repeated
        self._result: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Run the program, or do as if."""
        began = time.process_time()
        if self._is_repeated or self._result is None:
            self._result = self._run(*arguments)
        self.seconds.append(time.process_time() - began)
        return self._result


def microseconds(array: Any, *, is_host: bool) -> float:
    """Return the microseconds of an epoch of a trial: of the program, or of what the host does around it."""
    calls = Calls(array.program.run, is_repeated=not is_host)
    array.program.run = calls
    whole: list[float] = []
    ends = time.monotonic() + SECONDS
    while len(whole) < N_WARM_UP + MIN_LAPS or time.monotonic() < ends:
        began = time.process_time()
        array.step(lambda _: None)
        whole.append(time.process_time() - began)
    around = [total - inside for total, inside in zip(whole, calls.seconds, strict=True)]
    n_epochs: int = array.config.n_slots * array.config.epochs_per_call
    return statistics.median((around if is_host else calls.seconds)[N_WARM_UP:]) / n_epochs * 1e6


def measured(name: str) -> dict[str, Any]:
    """Measure the program with as many slots as a CPU gets, and the host's work for as many as a GPU gets."""
    on_cpu, on_gpu = full_array(name, "cpu"), full_array(name, "gpu")
    return {
        "case": name,
        "slots": on_cpu.config.n_slots,
        "program_microseconds": microseconds(on_cpu, is_host=False),
        "host_slots": on_gpu.config.n_slots,
        "host_microseconds": microseconds(on_gpu, is_host=True),
    }


def main() -> None:
    """Measure all networks, each with one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for name in NETWORKS:
        print(json.dumps(measured(name)), flush=True)


if __name__ == "__main__":
    main()
