"""Programs of trial arrays, written into a folder, so that XLA alone can run them where there is no TensorFlow.

Run as a script: `python -m bench.programs FOLDER`. Beside the programs are the arrays of some trials' first epoch, and
what TensorFlow makes of them on this machine. `bench.run_programs` runs them, on a GPU for example.
"""

from __future__ import annotations

import dataclasses
import json
import lzma
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.epochs import CASES, TABLE, Case, material_of, suggestions_of
from dnnsweep.trainers.array.config import ArrayConfig, config_of
from dnnsweep.trainers.array.slot_trial import SlotTrial
from dnnsweep.trainers.attempt import Attempt
from dnnsweep.trainers.groups import group_of


class Network(NamedTuple):
    """A network whose programs are written.

    Args:
        case: Layers and data.
        n_trials: Trials of it that are written; arrays of large networks hardly pack.
        slots: Numbers of slots, each of which makes a program.
    """

    case: Case
    n_trials: int
    slots: tuple[int, ...]


NETWORKS: Final = {
    "digits": Network(CASES["digits"], 8, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)),
    "table": Network(TABLE, 8, (1, 8, 32, 64, 128, 256, 512)),
    "256x128": Network(Case("sklearn:digits", (256, 128), 32), 8, (1, 8, 16, 32, 64, 128, 256, 512)),
    "512x512": Network(Case("sklearn:digits", (512, 512), 32), 1, (1, 4, 8, 16, 32, 64, 128)),
    "1024x1024": Network(Case("sklearn:digits", (1024, 1024), 32), 1, (1, 2, 4, 8, 16, 32, 64)),
    "2048x2048": Network(Case("sklearn:digits", (2048, 2048), 32), 1, (1, 2, 4, 8, 16)),
}
#: Programs in full single precision and in double. All others round the factors of products to TF32, as TensorFlow does
#: on a GPU unless it is told otherwise.
OTHERS: Final = (
    *((name, 8, precision) for name in ("digits", "table") for precision in ("float32", "float64")),
    *((name, n_slots, "float32") for name, n_slots in (("digits", 64), ("table", 64), ("256x128", 64))),
    *((name, n_slots, "float32") for name, n_slots in (("512x512", 32), ("1024x1024", 8), ("2048x2048", 4))),
)


class ProgramText:
    """A program with slots that may be empty, and what it is called with.

    Args:
        case: Network and data.
        n_slots: K, the number of slots.
        n_trials: Slots that hold a trial.
        dtype: Precision of all arithmetic.
    """

    def __init__(self, case: Case, n_slots: int, n_trials: int, dtype: str = "float32") -> None:
        import tensorflow as tf

        from dnnsweep.trainers.array.buffers import InputBuffers
        from dnnsweep.trainers.array.program import ArrayProgram
        from dnnsweep.trainers.array.rows import SharedRows

        suggestions, material = suggestions_of(case, max(1, n_trials)), material_of(case)
        # One epoch a call, whatever the number of slots, so that calls can be compared.
        config = config_of(group_of(suggestions[0].params), material, n_slots, dtype)
        self.config = dataclasses.replace(config, epochs_per_call=1)
        self._program = ArrayProgram(self.config, SharedRows(self.config, material.data))
        buffers = InputBuffers(self.config)
        trials = [
            SlotTrial(Attempt(suggestion), material.data, self.config.layout) for suggestion in suggestions[:n_trials]
        ]
        for slot, trial in enumerate(trials):
            self._start_trial(buffers, slot, trial)
        if trials:
            buffers.prepare(trials)
        self._arguments = (buffers.inputs(), tf.constant(1), buffers.progress)
        self._function = self._program._call  # noqa: SLF001  nobody else has to look inside
        self._concrete = self._function.get_concrete_function(*self._arguments)
        self.n_arguments = len(tf.nest.flatten(self._arguments))

    def _start_trial(self, buffers: Any, slot: int, trial: SlotTrial) -> None:
        from dnnsweep.trainers.array import optimizers, weights
        from dnnsweep.trainers.array.arithmetic import SlotKnobs

        hp = trial.hp
        start = weights.initial(hp, self.config.widths, trial.seed)
        knobs = SlotKnobs(float(hp.batch_norm), hp.dropout, float(np.float32(hp.l2)), hp.global_clipnorm)
        self._program.start_trial(slot, start, knobs, optimizers.UPDATE_RULES[hp.optimizer].first_v, ())
        buffers.start_trial(slot, trial)

    def _captured(self) -> list[Any]:
        """Return what the program reads beside its arguments: variables, and tensors that stay the same."""
        variables = {id(variable.handle): variable for variable in self._concrete.variables}
        return [variables.get(id(value), value) for value in self._concrete.captured_inputs]

    def parameters(self) -> list[NDArray[Any]]:
        """Return the values of all parameters: arguments, variables and rows."""
        import tensorflow as tf

        values = (*tf.nest.flatten(self._arguments), *self._captured())
        return [tf.convert_to_tensor(value).numpy() for value in values]

    def set_parameters(self, values: Sequence[NDArray[Any]]) -> None:
        """Replace the values of all parameters but the rows."""
        import tensorflow as tf

        n, mine = self.n_arguments, tf.nest.flatten(self._arguments)
        cast = [np.asarray(value, np.asarray(own).dtype) for value, own in zip(values[:n], mine, strict=True)]
        self._arguments = tf.nest.pack_sequence_as(self._arguments, cast)
        for captured, value in zip(self._captured(), values[n:], strict=True):
            if isinstance(captured, tf.Variable):
                captured.assign(value.astype(captured.dtype.as_numpy_dtype))

    def hlo(self) -> tuple[bytes, dict[int, int]]:
        """Return the program as XLA reads it, and the parameters that outputs replace."""
        written = self._function.experimental_get_compiler_ir(*self._arguments)
        head = written(stage="hlo").partition("\n")[0]
        feeds = {int(output): int(number) for output, number in re.findall(r"\{(\d+)\}: \((\d+),", head)}
        return written(stage="hlo_serialized"), feeds

    def outputs(self, feeds: Mapping[int, int]) -> dict[int, NDArray[Any]]:
        """Call the program; return its results, then the variables as it left them, each by the output's number."""
        import tensorflow as tf

        results = [result.numpy() for result in tf.nest.flatten(self._function(*self._arguments))]
        captured = self._captured()
        changed = {output: captured[number - self.n_arguments].numpy() for output, number in feeds.items()}
        return {**dict(enumerate(results)), **changed}


def n_weights_of(config: ArrayConfig) -> int:
    """Return the weights of one network."""
    return sum((a + 1) * b for a, b in pairwise(config.widths))


def write_arrays(name: str, folder: Path) -> None:
    """Write the parameters of real trials, and what TensorFlow computes from them in single and in double precision."""
    case, n_trials, _ = NETWORKS[name]
    single = ProgramText(case, n_trials, n_trials)
    parameters, feeds = single.parameters(), single.hlo()[1]
    expected = single.outputs(feeds)
    double = ProgramText(case, n_trials, 0, "float64")
    double.set_parameters(parameters)
    exact = double.outputs(feeds)
    kept = [1, *(weights_of(single.config, feeds) if n_trials > 1 else ())]  # metrics and, where they pack, weights
    found: dict[str, Any] = {
        **{f"parameter {number}": value for number, value in enumerate(parameters)},
        **{f"expected {output}": expected[output] for output in kept},
        **{f"exact {output}": exact[output] for output in kept},
    }
    np.savez_compressed(folder / f"{name}.npz", **found)


def weights_of(config: ArrayConfig, feeds: Mapping[int, int]) -> list[int]:
    """Return the outputs that are kernels and vectors: variables come after the results, weights first."""
    first = min(feeds)
    return list(range(first, first + len(config.widths)))


def write_program(name: str, n_slots: int, precision: str, folder: Path) -> dict[str, Any]:
    """Write a program, and return what there is to know about it."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    text = ProgramText(NETWORKS[name].case, n_slots, 0, "float64" if precision == "float64" else "float32")
    hlo, feeds = text.hlo()
    file = f"{name}-{n_slots}-{precision}.hlo.xz"
    (folder / file).write_bytes(lzma.compress(hlo, preset=1))
    # The progress of the next call comes from the results; all else that changes are variables.
    n_results, trained = min(feeds), weights_of(text.config, feeds)
    feeds |= {output: text.n_arguments - 5 + number for number, output in enumerate(range(2, n_results - 1))}
    parameters = text.parameters()
    names = text.config.layout.names
    return {
        "name": file.removesuffix(".hlo.xz"),
        "case": name,
        "slots": n_slots,
        "precision": precision,
        "n_trials": NETWORKS[name].n_trials,
        "n_weights": n_weights_of(text.config),
        "program": file,
        "arrays": f"{name}.npz",
        "shapes": [value.shape for value in parameters],
        "dtypes": [str(value.dtype) for value in parameters],
        "feeds": feeds,
        "n_inputs": text.n_arguments,
        "n_results": n_results,
        "losses": [names.index("loss"), names.index("val_loss")],
        "weights": trained,
    }


def main(folder: Path) -> None:
    """Write all programs and their arrays into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        write_arrays(name, folder)
    of_slots = [(name, n_slots, "tf32") for name in NETWORKS for n_slots in NETWORKS[name].slots]
    entries = [write_program(*program, folder) for program in (*OTHERS, *of_slots)]
    (folder / "programs.json").write_text(json.dumps(entries), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
