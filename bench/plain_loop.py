"""What one would write without dnnsweep: an Optuna study around `model.fit`, each trial a run in MLflow.

Run as a script, in a process of its own: `python -m bench.plain_loop TRIALS FOLDER` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

EPOCHS = 20
PATIENCE = 5


def main(n_trials: int, folder: Path) -> None:
    """Search `sweeps/digits.yaml`'s space with plain Keras and print what it took."""
    import keras
    import mlflow
    import optuna

    from dnnsweep import datasets, networks, spec
    from dnnsweep.space import Hyperparameters

    sweep = spec.load("sweeps/digits.yaml")
    data = datasets.load(sweep.dataset)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("plain")

    def objective(trial: optuna.Trial) -> float:
        hp = Hyperparameters.of(suggested(trial))
        network = networks.build(hp, data.summary.n_features, data.summary.task, data.n_outputs, trial.number)
        network.compile(networks.optimizer_of(hp), "sparse_categorical_crossentropy", metrics=["accuracy"])
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
        history = network.fit(
            data.x_train,
            data.y_train,
            batch_size=hp.batch_size,
            epochs=EPOCHS,
            validation_data=(data.x_validation, data.y_validation),
            callbacks=[stopping],
            verbose=0,
        ).history
        with mlflow.start_run(nested=True, run_name=f"trial-{trial.number}"):
            mlflow.log_params(trial.params)
            for epoch in range(len(history["loss"])):
                mlflow.log_metrics({name: values[epoch] for name, values in history.items()}, step=epoch)
        return float(history["val_accuracy"][stopping.best_epoch])

    with mlflow.start_run(run_name="search"):
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
        study.optimize(objective, n_trials=n_trials)
    print(json.dumps({"trials": n_trials, "best": study.best_value}))


def suggested(trial: Any) -> dict[str, Any]:
    """Suggest a point of `sweeps/digits.yaml`."""
    from dnnsweep.space import INITIALIZERS, OPTIMIZERS

    return {
        "initializer": trial.suggest_categorical("initializer", INITIALIZERS),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "l2": trial.suggest_float("l2", 1e-6, 1e-1, log=True),
        "batch_norm": trial.suggest_categorical("batch_norm", [True, False]),
        "optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
