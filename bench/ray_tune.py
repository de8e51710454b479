"""The same search with Ray Tune and its OptunaSearch: as many trials at a time as there are cores.

Run as a script, in a process of its own: `python -m bench.ray_tune TRIALS FOLDER SEED` prints one line of JSON.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()


def main(n_trials: int, folder: Path, seed: int) -> None:
    """Search `sweeps/digits.yaml`'s space and print what came of it."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from bench import search

    sweep, data = search.material()
    ray.init(include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")

    points = [dict(point) for point in sweep.enqueue]
    space = functools.partial(suggest, sweep=sweep)
    searcher = OptunaSearch(space, metric="value", mode="max", points_to_evaluate=points or None, seed=seed)
    tuner = tune.Tuner(
        tune.with_parameters(trial, data=data),
        tune_config=tune.TuneConfig(metric="value", mode="max", search_alg=searcher, num_samples=n_trials),
        run_config=tune.RunConfig(name="search", storage_path=str(folder / "ray"), verbose=0),
    )
    results = tuner.fit()
    if results.num_errors:
        raise RuntimeError(f"all trials must end well, got {results.errors[0]}")
    best, seconds = results.get_best_result().metrics["value"], time.perf_counter() - BEGAN
    epochs = sum(result.metrics["training_iteration"] for result in results)
    print(json.dumps({"best": best, "trials": len(results), "epochs": epochs, "seconds": seconds}), flush=True)
    ray.shutdown()


def suggest(trial: Any, sweep: Any) -> None:
    """Suggest a point; a function of a module, for Ray pickles it."""
    from bench import search

    search.suggested(trial, sweep)


def trial(config: dict[str, Any], data: Any) -> None:
    """Train a point; report after each epoch, and with it the accuracy at the lowest loss so far."""
    import keras
    from ray import tune

    from bench import search

    seen: list[tuple[float, float]] = []

    def report(_: int, logs: dict[str, float]) -> None:
        seen.append((logs["val_loss"], logs["val_accuracy"]))
        tune.report({"value": min(seen, key=lambda pair: pair[0])[1], **logs})

    search.trained(config, data, 0, keras.callbacks.LambdaCallback(on_epoch_end=report))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
