"""When a trial ends by itself, early stopping and divergence, and when it goes on with a lower learning rate."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dnnsweep.records import direction_of
from dnnsweep.space import PLATEAU, Hyperparameters
from dnnsweep.spec import EarlyStoppingSpec, PlateauSpec

#: A data loss above this is a diverged trial even while it is finite. The steps of adaptive optimizers are bounded by
#: the learning rate, so that Adam at a learning rate of 1e6 settles at losses of 1e5 to 1e20 and never meets a NaN.
DIVERGED_LOSS: Final = 1e9


#: The metrics that say whether an epoch diverged.
DECISIVE: Final = ("loss", "val_loss", "l2_penalty")


def is_diverged(metrics: Mapping[str, float]) -> bool:
    """Return whether an epoch's numbers say that training is lost.

    Args:
        metrics: Metrics of the network, at least `loss`, `val_loss` and `l2_penalty`.

    Returns:
        Whether one of the three is NaN or infinite, or one of the losses is above `DIVERGED_LOSS`.

    Example:
        >>> is_diverged({"loss": 2e9, "val_loss": 0.5, "l2_penalty": 0.0})
        True
    """
    losses = (metrics["loss"], metrics["val_loss"])
    return not all(map(math.isfinite, (*losses, metrics["l2_penalty"]))) or max(losses) > DIVERGED_LOSS


@dataclass(frozen=True, slots=True)
class Stopping:
    """The early stopping of one trial: the rule, and how long the trial has not improved.

    The rule is that of Keras's `EarlyStopping(restore_best_weights=True)`: an epoch improves if it beats the best so
    far by more than `min_delta`; `patience` epochs in a row without improvement end the trial (0 and 1 both end it at
    the first one). There is one difference: Keras keeps a NaN of the first epoch as the best value for ever, here NaN
    is never the best. The first `start_from_epoch` epochs are not looked at. Without a monitor every epoch improves, so
    that the last epoch is kept.

    Args:
        monitor: Metric that must improve; None without early stopping.
        patience: Epochs in a row without improvement that end the trial, >= 0.
        min_delta: Amount by which a value must beat the best one to count as an improvement, >= 0.
        start_from_epoch: Number of epochs at the beginning that are not looked at, >= 0.
        epoch: Last epoch seen, from 1; 0 before the first.
        best: Monitored value at `best_epoch`.
        best_epoch: Last epoch that improved; None before there is one.
        n_waited: Epochs since the last that improved.
        is_improved: Whether the last epoch seen improved, so that its weights are the ones to keep.
        is_over: Whether the trial should end now.

    Example:
        >>> stopping = Stopping("val_loss", patience=2)
        >>> for value in (0.5, 0.4, 0.6, 0.4):
        ...     stopping = stopping.after({"val_loss": value})
        >>> stopping.is_over, stopping.best_epoch
        (True, 2)

    References:
        Prechelt, Early stopping - but when?, 1998.
    """

    monitor: str | None = None
    patience: int = 0
    min_delta: float = 0.0
    start_from_epoch: int = 0
    epoch: int = 0
    best: float = math.nan
    best_epoch: int | None = None
    n_waited: int = 0
    is_improved: bool = False
    is_over: bool = False

    @classmethod
    def of(cls, rule: EarlyStoppingSpec | None) -> Stopping:
        """Begin a trial under the rule of a sweep file."""
        return cls() if rule is None else cls(rule.monitor, rule.patience, rule.min_delta, rule.start_from_epoch)

    def after(self, metrics: Mapping[str, float]) -> Stopping:
        """Return the state after one more epoch with these metrics."""
        epoch = self.epoch + 1
        if self.monitor is None:
            return replace(self, epoch=epoch, best_epoch=epoch, is_improved=True)
        if epoch <= self.start_from_epoch:
            return replace(self, epoch=epoch, is_improved=False)
        value = metrics[self.monitor]
        if _is_better(self.monitor, value, self.best, self.min_delta):
            return replace(self, epoch=epoch, best=value, best_epoch=epoch, n_waited=0, is_improved=True, is_over=False)
        is_first = epoch == self.start_from_epoch + 1
        n_waited = 0 if is_first else self.n_waited + 1
        is_over = not is_first and n_waited >= self.patience
        return replace(self, epoch=epoch, n_waited=n_waited, is_improved=False, is_over=is_over)


@dataclass(frozen=True, slots=True)
class Plateau:
    """The learning rate of one trial, reduced when the trial no longer improves: the rule, and how long that is.

    The rule is that of Keras's `ReduceLROnPlateau`: `patience` epochs in a row that do not beat the best so far by
    more than `min_delta` multiply the learning rate by `factor` (0 and 1 both do at the first one), and in the
    `cooldown` epochs after that none is counted. The difference is that of `Stopping`: NaN is never the best.

    Args:
        rate: Learning rate of the next epoch, in single precision, in which Keras holds it.
        monitor: Metric that must improve; None for a learning rate that is not reduced.
        factor: Factor that the learning rate is multiplied by, in (0, 1).
        patience: Epochs in a row without improvement before a reduction, >= 0.
        min_delta: Amount by which a value must beat the best one to count as an improvement, >= 0.
        cooldown: Epochs after a reduction that do not count, >= 0.
        min_rate: Floor below which the learning rate is not reduced, >= 0.
        epoch: Last epoch seen, from 1; 0 before the first.
        best: Best monitored value so far.
        n_waited: Epochs without improvement that count.
        n_cooling: Epochs of the cooldown that are left.

    Example:
        >>> plateau = Plateau(0.5, "val_loss", factor=0.5, patience=2)
        >>> for value in (0.5, 0.4, 0.6, 0.4):
        ...     plateau = plateau.after({"val_loss": value})
        >>> plateau.rate
        0.25
    """

    rate: float
    monitor: str | None = None
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    cooldown: int = 0
    min_rate: float = 0.0
    epoch: int = 0
    best: float = math.nan
    n_waited: int = 0
    n_cooling: int = 0

    @classmethod
    def of(cls, rule: PlateauSpec | None, hp: Hyperparameters) -> Plateau:
        """Begin a trial under the rule of a sweep file, if the trial's schedule is this one."""
        rate = _single(hp.learning_rate)
        if rule is None or hp.schedule != PLATEAU:
            return cls(rate)
        floor = rule.min_learning_rate
        return cls(rate, rule.monitor, rule.factor, rule.patience, rule.min_delta, rule.cooldown, floor)

    def after(self, metrics: Mapping[str, float]) -> Plateau:
        """Return the state after one more epoch with these metrics."""
        if self.monitor is None:
            return self
        value, epoch = metrics[self.monitor], self.epoch + 1
        n_cooling, n_waited = max(self.n_cooling - 1, 0), 0 if self.n_cooling else self.n_waited
        if _is_better(self.monitor, value, self.best, self.min_delta):
            return replace(self, epoch=epoch, best=value, n_waited=0, n_cooling=n_cooling)
        if epoch > 1 and not n_cooling:
            n_waited += 1
            if n_waited >= self.patience and self.rate > _single(self.min_rate):
                rate = _single(max(self.rate * self.factor, self.min_rate))
                return replace(self, rate=rate, epoch=epoch, n_waited=0, n_cooling=self.cooldown)
        return replace(self, epoch=epoch, n_waited=n_waited, n_cooling=n_cooling)


def _is_better(monitor: str, value: float, best: float, min_delta: float) -> bool:
    """Return whether a value beats the best so far, if there is one, by more than `min_delta`."""
    if math.isnan(best):
        return not math.isnan(value)
    if direction_of(monitor) == "maximize":
        return _single(value - min_delta) > _single(best)
    return _single(value + min_delta) < _single(best)


def _single(value: float) -> float:
    """Round to single precision, in which Keras compares; too large becomes infinite."""
    return ctypes.c_float(value).value
