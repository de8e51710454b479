"""The same search with KerasTuner: Bayesian optimisation, each trial in KerasTuner's own folder.

Run as a script, in a process of its own: `python -m bench.tuner TRIALS FOLDER SEED` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()


def main(n_trials: int, folder: Path, seed: int) -> None:
    """Search `sweeps/digits.yaml`'s space and print what came of it."""
    import keras
    import keras_tuner

    from bench import search

    sweep, data = search.material()
    epochs: list[int] = []

    class Count(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            epochs.append(epoch)

    tuner = keras_tuner.BayesianOptimization(
        lambda hp: search.compiled(suggested(hp, sweep), data, seed),
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_trials=n_trials,
        seed=seed,
        directory=folder,
        project_name="search",
    )
    tuner.search(
        data.x_train,
        data.y_train,
        batch_size=sweep.defaults.batch_size,
        epochs=search.EPOCHS,
        validation_data=(data.x_validation, data.y_validation),
        callbacks=[search.stopping(), Count()],
        verbose=0,
    )
    best, seconds = tuner.oracle.get_best_trials(1)[0].score, time.perf_counter() - BEGAN
    print(json.dumps({"best": best, "trials": n_trials, "epochs": len(epochs), "seconds": seconds}))


def suggested(hp: Any, sweep: Any) -> dict[str, Any]:
    """Let KerasTuner suggest a point of the sweep's space."""
    from dnnsweep.space import Choice

    params = {}
    for name, domain in sweep.space.items():
        if not isinstance(domain, Choice):
            sampling = "log" if domain.log else "linear"
            params[name] = hp.Float(name, domain.low, domain.high, sampling=sampling)
        elif isinstance(domain.values[0], bool):
            params[name] = hp.Boolean(name)
        else:
            params[name] = hp.Choice(name, list(domain.values))
    return params


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
