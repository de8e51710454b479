"""How many diseases are found in networks that are ill on purpose, and how many in healthy ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.report import table
from bench.sweeps import Effort
from dnnsweep import spec
from dnnsweep.diagnoses import diagnose_result
from dnnsweep.ledger import summary_json
from dnnsweep.records import Finding, FindingCode, Suggestion
from dnnsweep.trainers import Job, TrainerPlan
from dnnsweep.trainers.auto import AutoTrainer


@dataclass(frozen=True)
class Case:
    """A network to train.

    Args:
        name: What it is.
        source: Data set of scikit-learn.
        params: Hyperparameters that differ from the defaults; those of a builder for `stacked`.
        epochs: Epochs of the training.
        disease: What is wrong with it; None for a healthy network.
        patience: Epochs without improvement that end the training; None for never.
    """

    name: str
    source: str
    params: Mapping[str, Any]
    epochs: int = 30
    disease: FindingCode | None = None
    patience: int | None = None

    @property
    def has_builder(self) -> bool:
        """Return whether the network is built by `diseased_networks.stacked`."""
        return "stddev" in self.params


_STACKED: Final = {"activation": "relu", "stddev": 0.2, "bias": 0.0, "learning_rate": 0.001}
DEEP: Final = (32,) * 20

ILL: Final[tuple[Case, ...]] = (
    Case(
        "20 layers of sigmoid",
        "digits",
        {"hidden": DEEP, "activation": "sigmoid", "learning_rate": 0.003},
        15,
        FindingCode.VANISHING_GRADIENT,
    ),
    Case(
        "weights of spread 3",
        "digits",
        {**_STACKED, "stddev": 3.0, "optimizer": "sgd", "learning_rate": 1e-7},
        10,
        FindingCode.EXPLODING_GRADIENT,
    ),
    Case("ReLU with biases of -20", "digits", {**_STACKED, "bias": -20.0}, 15, FindingCode.DEAD_UNITS),
    Case("ReLU, Adam at a rate of 1", "digits", {"learning_rate": 1.0}, 15, FindingCode.DEAD_UNITS),
    Case(
        "tanh, Adam at a rate of 1",
        "digits",
        {"activation": "tanh", "learning_rate": 1.0, "hidden": (64, 64)},
        15,
        FindingCode.SATURATED_UNITS,
    ),
    Case(
        "weights of spread 0.01",
        "digits",
        {**_STACKED, "stddev": 0.01, "optimizer": "sgd"},
        15,
        FindingCode.POOR_INITIALIZATION,
    ),
    Case("a rate of 1e-12", "digits", {"learning_rate": 1e-12, "optimizer": "sgd"}, 10, FindingCode.UPDATE_RATIO),
    Case("wide and long on few rows", "diabetes", {"hidden": (256, 256)}, 80, FindingCode.OVERFITTING),
    Case("one unit for ten classes", "digits", {"hidden": (1,), "learning_rate": 0.01}, 40, FindingCode.UNDERFITTING),
    Case("an L2 term of 1", "digits", {"l2": 1.0}, 20, FindingCode.UNDERFITTING),
    Case(
        "three epochs of SGD", "digits", {"optimizer": "sgd", "learning_rate": 0.01}, 3, FindingCode.STOPPED_TOO_EARLY
    ),
    Case(
        "momentum at a rate of 0.5",
        "digits",
        {"optimizer": "momentum", "learning_rate": 0.5, "activation": "tanh"},
        20,
        FindingCode.UNSTABLE,
    ),
    Case("SGD at a rate of 10", "diabetes", {"optimizer": "sgd", "learning_rate": 10.0}, 20, FindingCode.DIVERGED),
)
HEALTHY: Final[tuple[Case, ...]] = (
    Case("the defaults on digits", "digits", {}, 40, patience=5),
    Case(
        "20 layers of sigmoid with batch normalisation",
        "digits",
        {"hidden": DEEP, "activation": "sigmoid", "batch_norm": True, "learning_rate": 0.003},
        40,
        patience=10,
    ),
    Case("two layers of sigmoid", "digits", {"activation": "sigmoid", "learning_rate": 0.01}, 40, patience=5),
    Case(
        "six layers of SELU",
        "digits",
        {"hidden": (64,) * 6, "activation": "selu", "initializer": "lecun_normal"},
        30,
        patience=5,
    ),
    Case("the defaults on breast cancer", "breast_cancer", {}, 50, patience=5),
    Case("tanh on wine", "wine", {"activation": "tanh", "learning_rate": 0.003}, 50, patience=5),
    Case("the defaults on iris", "iris", {"learning_rate": 0.01}, 60, patience=5),
    Case("dropout on diabetes", "diabetes", {"hidden": (32,), "dropout": 0.2, "learning_rate": 0.003}, 60, patience=5),
    Case(
        "SGD with momentum on digits",
        "digits",
        {"optimizer": "momentum", "learning_rate": 0.02, "dropout": 0.2},
        30,
        patience=5,
    ),
    Case(
        "a wide layer on digits", "digits", {"hidden": (512,), "batch_norm": True, "optimizer": "adamw"}, 20, patience=5
    ),
)


def findings_of(case: Case) -> tuple[Finding, ...]:
    """Train a network, by `fit` or as its builder allows, and return what is found."""
    document = {
        "name": "diseases",
        "dataset": {"source": f"sklearn:{case.source}"},
        "training": {"epochs": case.epochs, "early_stopping": None},
        "objective": {"metric": "val_loss"},
    }
    if case.patience is not None:
        document["training"] = {"epochs": case.epochs, "early_stopping": {"patience": case.patience}}
    if case.has_builder:
        document |= {"network": {"builder": "python:bench.diseased_networks:stacked"}, "fixed": dict(case.params)}
    trainer = AutoTrainer(Job(document, plan=TrainerPlan("fit")))
    data = summary_json(trainer.open().data)
    params = {**spec.check(document).default_params, **case.params}
    trainer.take(Suggestion(0, params, seed=0))
    messages: list[Any] = []
    while not trainer.is_idle:
        trainer.step(messages.append)
    return diagnose_result(messages[-1], params, data)


def diseases(effort: Effort) -> str:
    """Return a table of ill networks and one of healthy ones, with what is found in each."""
    ill, healthy = (cases[:1] if effort.is_quick else cases for cases in (ILL, HEALTHY))
    rows, n_found, n_false = [], 0, 0
    for case in (*ill, *healthy):
        codes = tuple(dict.fromkeys(finding.code.value for finding in findings_of(case)))
        n_found += case.disease in codes
        n_false += case.disease is None and bool(codes)
        rows.append([case.name, case.source, case.disease or "none", ", ".join(codes) or "nothing"])
    counts = f"Found in {n_found} of {len(ill)} ill networks; false alarms in {n_false} of {len(healthy)} healthy ones."
    return f"{table(['network', 'data', 'disease', 'found'], rows)}\n\n{counts}"
