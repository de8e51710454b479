"""What one would write without dnnsweep: an Optuna study around `model.fit`, each trial a run in MLflow.

Run as a script, in a process of its own: `python -m bench.plain_loop TRIALS FOLDER SEED` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

BEGAN = time.perf_counter()


def main(n_trials: int, folder: Path, seed: int) -> None:
    """Search `sweeps/digits.yaml`'s space and print what came of it."""
    import keras
    import mlflow
    import optuna

    from bench import search

    sweep, data = search.material()
    epochs = []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("plain")

    def objective(trial: optuna.Trial) -> float:
        params = search.suggested(trial, sweep)
        log = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: mlflow.log_metrics(logs, step=epoch))
        with mlflow.start_run(nested=True, run_name=f"trial-{trial.number}"):
            mlflow.log_params(params)
            ended = search.trained(params, data, trial.number, log)
        epochs.append(ended.epochs)
        return ended.value

    with mlflow.start_run(run_name="search"):
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        for point in sweep.enqueue:
            study.enqueue_trial(dict(point))
        study.optimize(objective, n_trials=n_trials)
        mlflow.log_metric("best", study.best_value)
    seconds = time.perf_counter() - BEGAN
    print(json.dumps({"best": study.best_value, "trials": n_trials, "epochs": sum(epochs), "seconds": seconds}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
