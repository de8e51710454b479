"""How a draft searches: metric, weights, network, space and budget, from what the rows turned out to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.drafts.sweep_text import Block, Entry, Item
from dnnsweep.records import Task
from dnnsweep.spec import BALANCED, DEFAULT_SPACE

#: Share of an even share of the rows that the smallest class has at least where classes count as balanced.
BALANCED_SHARE: Final = 0.5
#: Skewness of a target's numbers from which squared errors would be those of a few rows.
SKEWED: Final = 2.0
#: What Keras does unless it is told otherwise.
BASELINE: Final[Mapping[str, Any]] = {
    "initializer": "glorot_uniform",
    "dropout": 0.0,
    "l2": 1.0e-6,
    "batch_norm": False,
    "optimizer": "adam",
    "learning_rate": 0.001,
}


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a search is sized by.

    Args:
        task: Task that the target makes.
        shares: Share of the rows that each class has, by label; empty for regression.
        is_validated: Whether each class has validation rows.
        skewness: Skewness of a numeric target.
        n_train: Number of training rows.
        n_features: Number of inputs of the network.
    """

    task: Task
    shares: Mapping[str, float]
    is_validated: bool
    skewness: float
    n_train: int
    n_features: int

    @property
    def is_imbalanced(self) -> bool:
        """Return whether the smallest class is too small for accuracy to say anything about it."""
        return bool(self.shares) and min(self.shares.values()) < BALANCED_SHARE / len(self.shares)


@dataclass(frozen=True, slots=True)
class _Size:
    """What suits so many training rows.

    Args:
        n_rows: Most training rows that this suits.
        hidden: Units of each hidden layer.
        batch_size: Rows in a step.
        epochs: Most epochs of a trial.
        patience: Epochs without improvement before a trial stops.
        dropout: Highest dropout rate.
        l2: Highest L2 strength.
        trials: Number of trials.
    """

    n_rows: float
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    patience: int
    dropout: float
    l2: float
    trials: int


_SIZES: Final = (
    _Size(300, (32, 16), 16, 80, 10, 0.6, 1.0e-1, 60),
    _Size(2_000, (64, 32), 32, 60, 8, 0.6, 1.0e-1, 60),
    _Size(20_000, (64, 32), 64, 40, 6, 0.5, 1.0e-2, 60),
    _Size(100_000, (128, 64), 128, 25, 4, 0.4, 1.0e-2, 40),
    _Size(float("inf"), (256, 128), 256, 15, 3, 0.4, 1.0e-3, 24),
)


def choose_metric(facts: DataFacts) -> tuple[str, str]:
    """Return the metric to improve, and why."""
    if facts.task is Task.REGRESSION:
        if abs(facts.skewness) > SKEWED:
            return "val_mae", "mean absolute error: a few extreme values of the target would decide squared errors"
        return "val_r2", "share of the target's variance that is explained"
    if not facts.is_validated:
        return "val_loss", "some class has no validation row, so no score of all classes can be computed"
    if not facts.is_imbalanced:
        return "val_accuracy", "share of right answers, as the classes are balanced"
    rarest = min(facts.shares, key=lambda label: facts.shares[label])
    reason = f"the classes are imbalanced: {rarest} has {facts.shares[rarest]:.1%} of the rows"
    if facts.task is Task.BINARY:
        return "val_auc", f"area under the ROC curve, as {reason}"
    return "val_f1", f"F1 averaged over classes, as {reason}"


def weight_entries(facts: DataFacts) -> tuple[Entry, ...]:
    """Return how classes are weighted."""
    if not facts.is_imbalanced:
        return ()
    comment = "rare classes count as much as frequent ones; remove it for probabilities that match how often they occur"
    return (Entry("class_weight", BALANCED, comment),)


def search_entries(facts: DataFacts) -> tuple[Entry, ...]:
    """Return the sections that say what is searched and how."""
    size = next(size for size in _SIZES if facts.n_train <= size.n_rows)
    metric, reason = choose_metric(facts)
    hidden = list(size.hidden)
    searched = {
        **DEFAULT_SPACE,
        "dropout": {"low": 0.0, "high": size.dropout},
        "l2": {"low": BASELINE["l2"], "high": _highest_l2(facts, size), "log": True},
    }
    deeper = [hidden, [2 * units for units in hidden], [*hidden, hidden[-1]]]
    proposed = Entry("hidden", deeper, "layer sizes can be searched, too, but not as fast", is_hint=True)
    return (
        Entry("network", Block([Entry("hidden", hidden, _size_reason(facts)), Entry("activation", "relu")])),
        Entry("space", Block([*(Entry(name, domain) for name, domain in searched.items()), proposed])),
        Entry("fixed", Block([Entry("batch_size", size.batch_size)])),
        Entry("objective", Block([Entry("metric", metric, reason)])),
        Entry("training", Block(_training_entries(facts, size, metric))),
        Entry("budget", Block([Entry("trials", size.trials, "raise it and run again to go on")])),
        Entry("enqueue", (Item(dict(BASELINE), "baseline: what Keras does unless it is told otherwise"),)),
    )


def _size_reason(facts: DataFacts) -> str:
    return f"for {facts.n_train:,} training rows and {facts.n_features:,} inputs"


def _highest_l2(facts: DataFacts, size: _Size) -> float:
    """Return the highest L2 strength: inputs that outnumber the rows can be learned by heart."""
    return 1.0e-1 if facts.n_features > facts.n_train else size.l2


def _training_entries(facts: DataFacts, size: _Size, metric: str) -> list[Entry]:
    is_scored = facts.is_imbalanced and facts.is_validated
    # Weights shift the probabilities, which the loss of the validation rows, unweighted, takes for a loss.
    monitor = metric if is_scored else "val_loss"
    beside = ["val_f1", "val_recall"] if facts.task is Task.BINARY else ["val_recall"]
    stopping = {"monitor": monitor, "patience": size.patience}
    measured = [Entry("metrics", beside, "measured beside the objective")] if is_scored else []
    return [Entry("epochs", size.epochs, "at most"), *measured, Entry("early_stopping", stopping)]
