"""Run the programs that `bench.programs` wrote, on a CPU or a GPU; needs JAX and NumPy only.

Run as a script: `python -m bench.run_programs FOLDER RESULTS`. It compiles one program after the other with XLA, checks
what it computes against TensorFlow's results on a CPU, and measures it. RESULTS gets a line of JSON for each program.

JAX offers no public way to run a program that it did not trace, so this reaches into `jaxlib`; it was written for
version 0.11.2.
"""

from __future__ import annotations

import argparse
import json
import lzma
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MIN_LAPS: Final = 5
N_WARM_UP: Final = 3
Arrays = Sequence[NDArray[Any]]


def fitted(array: NDArray[Any], shape: Sequence[int], dtype: str) -> NDArray[Any]:
    """Repeat the slots of an array until it has a shape, or leave some of them out.

    Example:
        >>> fitted(np.array([[1, 2], [3, 4]]), (3, 2), "int32").tolist()
        [[1, 2], [3, 4], [1, 2]]
    """
    for axis, (size, wanted) in enumerate(zip(array.shape, shape, strict=True)):
        if size != wanted:
            array = np.take(array, np.arange(wanted) % size, axis=axis)
    return np.ascontiguousarray(array.astype(dtype))


def without_copies(text: bytes) -> Any:
    """Read a module and leave out TensorFlow's copies of what loops only read: a GPU's client does not take them."""
    from jaxlib.mlir import ir

    module = ir.Module.parse(text)
    copies: list[Any] = []

    def look(operation: Any) -> Any:
        if operation.name == "mhlo.copy":
            copies.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(look)
    for copy in copies:
        copy.results[0].replace_all_uses_with(copy.operands[0])
        copy.erase()
    return module


class Program:
    """A compiled program on a device.

    Args:
        entry: What the folder says of it.
        folder: Folder with the program and its arrays.
        device: Where it runs.
    """

    def __init__(self, entry: dict[str, Any], folder: Path, device: Any) -> None:
        from jax._src import compiler
        from jax._src.interpreters import mlir
        from jaxlib import _jax

        self.entry, self._device = entry, device
        self._feeds = {int(output): parameter for output, parameter in entry["feeds"].items()}
        with np.load(folder / entry["arrays"]) as arrays:
            given = [arrays[f"parameter {index}"] for index in range(len(entry["shapes"]))]
        self.arrays = [fitted(a, *of) for a, *of in zip(given, entry["shapes"], entry["dtypes"], strict=True)]
        hlo = lzma.decompress((folder / entry["program"]).read_bytes())
        options = compiler.get_compile_options(num_replicas=1, num_partitions=1)
        with mlir.make_ir_context():
            module = without_copies(_jax.mlir.hlo_to_stablehlo(hlo))
            began = time.perf_counter()
            devices = _jax.DeviceList((device,))
            self._executable = compiler.backend_compile_and_load(device.client, module, devices, options, [])
            self.compile_seconds = time.perf_counter() - began

    def put(self, arrays: Arrays) -> list[Any]:
        """Copy arrays to the device, and wait until they are there."""
        import jax

        return [jax.block_until_ready(array) for array in jax.device_put(list(arrays), self._device)]

    def call(self, parameters: Sequence[Any]) -> list[Any]:
        """Run it once and wait; buffers of the parameters that it changes are used up."""
        import jax

        results = self._executable.execute_sharded(list(parameters))
        outputs = [of_device[0] for of_device in results.disassemble_into_single_device_arrays()]
        jax.block_until_ready(outputs)
        return outputs

    def next_parameters(self, parameters: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """Return the parameters of the next call, which goes on where one ended."""
        following = list(parameters)
        for output, parameter in self._feeds.items():
            following[parameter] = outputs[output]
        return following

    @property
    def memory(self) -> dict[str, float]:
        """Return the megabytes on the device that parameters and intermediate results take."""
        found = self._executable.get_compiled_memory_stats()
        return {
            "parameter_megabytes": found.argument_size_in_bytes / 1e6,
            "temporary_megabytes": found.temp_size_in_bytes / 1e6,
        }

    def with_other_orders(self) -> list[NDArray[Any]]:
        """Return the arrays, with a row order of its own for each slot: it comes first among the parameters."""
        orders, *rest = self.arrays
        own = [
            np.roll(orders[:, slot], 97 * (slot // self.entry["n_trials"]), axis=-1) for slot in range(orders.shape[1])
        ]
        return [np.stack(own, axis=1), *rest]


def errors(program: Program, outputs: Arrays, folder: Path, kind: str) -> dict[str, float]:
    """Compare what one call computed with TensorFlow's results on a CPU.

    Args:
        program: The program.
        outputs: What it computed.
        folder: Folder with the results.
        kind: `expected` for TensorFlow's in single precision, `exact` for those in double precision.
    """
    with np.load(folder / program.entry["arrays"]) as arrays:
        reference = {int(name.split()[1]): arrays[name] for name in arrays.files if name.startswith(f"{kind} ")}
    n_slots = min(program.entry["n_trials"], program.entry["slots"])
    losses, true_losses = (of[:, :n_slots][..., program.entry["losses"]] for of in (outputs[1], reference[1]))
    found = {"loss_relative": float(np.max(np.abs(losses - true_losses) / np.abs(true_losses)))}
    weights = [index for index in program.entry["weights"] if index in reference]
    if weights:
        ours, theirs = (
            np.concatenate([of[index][:n_slots].ravel() for index in weights]).astype(np.float64)
            for of in (outputs, reference)
        )
        found["weights_absolute"] = float(np.max(np.abs(ours - theirs)))
        found["weights_relative"] = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    return found


def agree(program: Program, outputs: Arrays) -> bool:
    """Return whether all slots that hold the same trial computed the same, bit for bit."""
    n_slots = program.entry["slots"]
    of_slots = [outputs[1][0], *(outputs[index] for index in program.entry["weights"])]  # (slots, ...) each
    same = np.arange(n_slots) % program.entry["n_trials"]
    return all(np.array_equal(of_slot, of_slot[same], equal_nan=True) for of_slot in of_slots)


def timed(lap: Callable[[], object], seconds: float) -> list[float]:
    """Return the milliseconds of each lap, after some to warm up."""
    for _ in range(N_WARM_UP):
        lap()
    laps: list[float] = []
    ends = time.perf_counter() + seconds
    while len(laps) < MIN_LAPS or time.perf_counter() < ends:
        began = time.perf_counter()
        lap()
        laps.append((time.perf_counter() - began) * 1000)
    return laps


def speeds(program: Program, seconds: float) -> dict[str, Any]:
    """Measure calls that find all they need on the device, and calls between which the host sends and fetches."""
    n_inputs = program.entry["n_inputs"]
    arrays = program.with_other_orders()
    parameters = program.put(arrays)

    def lap() -> None:
        nonlocal parameters
        parameters = program.next_parameters(parameters, program.call(parameters))

    def whole_lap() -> None:
        nonlocal parameters
        parameters = [*program.put(arrays[:n_inputs]), *parameters[n_inputs:]]
        outputs = program.call(parameters)
        for output in outputs[: program.entry["n_results"]]:
            np.asarray(output)
        parameters = program.next_parameters(parameters, outputs)

    of_call, of_whole = timed(lap, seconds), timed(whole_lap, seconds / 2)
    return {
        "call_milliseconds": statistics.median(of_call),
        "call_range": [min(of_call), max(of_call)],
        "n_calls": len(of_call),
        "call_with_copies_milliseconds": statistics.median(of_whole),
    }


def measured(entry: dict[str, Any], folder: Path, device: Any, seconds: float) -> dict[str, Any]:
    """Return all that is found out about a program."""
    program = Program(entry, folder, device)
    first, second = ([np.array(output) for output in program.call(program.put(program.arrays))] for _ in range(2))
    n_slots = entry["slots"]
    found = {
        **{key: entry[key] for key in ("case", "slots", "precision", "n_weights")},
        "compile_seconds": program.compile_seconds,
        "is_repeatable": all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True)),
        "slots_agree": agree(program, first),
        "n_epochs": int(first[0]),
        "against_expected": errors(program, first, folder, "expected"),
        "against_exact": errors(program, first, folder, "exact"),
        **program.memory,
    }
    del first, second
    found |= speeds(program, seconds)
    found["microseconds_per_trial_epoch"] = found["call_milliseconds"] * 1000 / n_slots
    return found


def main() -> None:
    """Run the programs of a folder."""
    import jax

    parser = argparse.ArgumentParser(description="Run programs that bench.programs wrote.")
    parser.add_argument("folder", type=Path, help="where bench.programs wrote them")
    parser.add_argument("results", type=Path, help="file that gets a line of JSON for each program")
    parser.add_argument("--seconds", type=float, default=1.0, help="to measure each for (1)")
    parser.add_argument("--within", type=float, default=1e9, help="seconds after which no other program is begun")
    parser.add_argument("--only", nargs="*", metavar="PROGRAM", help="programs to run, in this order; all if none")
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", val=True)
    device = jax.devices()[0]
    about = {"device": device.device_kind, "jax": jax.__version__, "platform": device.client.platform_version}
    ends = time.monotonic() + given.within
    entries = {entry["name"]: entry for entry in json.loads((given.folder / "programs.json").read_text("utf-8"))}
    with given.results.open("w", encoding="utf-8") as results:
        print(json.dumps(about), file=results, flush=True)
        for name in given.only or entries:
            if time.monotonic() > ends:
                print(f"{name}: left out, for want of time", flush=True)
                continue
            try:
                found = measured(entries[name], given.folder, device, given.seconds)
            except Exception as error:  # noqa: BLE001  the programs that follow may fit where this one did not
                print(f"{name}: {type(error).__name__}: {str(error)[:500]}", flush=True)
                continue
            print(json.dumps(found), file=results, flush=True)
            print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
