"""When a trial ends by itself: early stopping, and divergence."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dnnsweep.records import direction_of
from dnnsweep.spec import EarlyStoppingSpec

#: A data loss above this is a diverged trial even while it is finite. The steps of adaptive optimizers are bounded by
#: the learning rate, so that Adam at a learning rate of 1e6 settles at losses of 1e5 to 1e20 and never meets a NaN.
DIVERGED_LOSS: Final = 1e9


def is_diverged(metrics: Mapping[str, float]) -> bool:
    """Return whether an epoch's numbers say that training is lost.

    Args:
        metrics: The network's, at least `loss`, `val_loss` and `l2_penalty`.

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
    """The early stopping of one trial: the rule and where it stands.

    The rule is that of Keras's `EarlyStopping(restore_best_weights=True)`: an epoch improves if it beats the best so
    far by more than `min_delta`; `patience` epochs in a row without improvement end the trial (0 and 1 both end it at
    the first one). One difference: Keras takes a NaN in the first epoch for the best there will ever be, here NaN is
    never the best. The first `start_from_epoch` epochs are not looked at. Without a monitor every epoch improves, so
    that the last epoch is kept.

    Args:
        monitor: The metric that must improve; None for no early stopping.
        patience: Epochs without improvement that are borne, >= 0.
        min_delta: What an improvement must exceed, >= 0.
        start_from_epoch: How many epochs are not looked at, >= 0.
        epoch: The last epoch seen, from 1; 0 before.
        best: The monitored value at `best_epoch`.
        best_epoch: The last epoch that improved; None before there is one.
        n_waited: Epochs since then.
        is_improved: Whether the last epoch seen improved: its weights are the ones to keep.
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
        """Return where it stands after one more epoch with these metrics."""
        epoch = self.epoch + 1
        if self.monitor is None:
            return replace(self, epoch=epoch, best_epoch=epoch, is_improved=True)
        if epoch <= self.start_from_epoch:
            return replace(self, epoch=epoch, is_improved=False)
        value = metrics[self.monitor]
        if self._is_better(value, self.monitor):
            return replace(self, epoch=epoch, best=value, best_epoch=epoch, n_waited=0, is_improved=True, is_over=False)
        is_first = epoch == self.start_from_epoch + 1
        n_waited = 0 if is_first else self.n_waited + 1
        is_over = not is_first and n_waited >= self.patience
        return replace(self, epoch=epoch, n_waited=n_waited, is_improved=False, is_over=is_over)

    def _is_better(self, value: float, monitor: str) -> bool:
        if math.isnan(self.best):
            return not math.isnan(value)
        if direction_of(monitor) == "maximize":
            return _single(value - self.min_delta) > _single(self.best)
        return _single(value + self.min_delta) < _single(self.best)


def _single(value: float) -> float:
    """Round to single precision, in which Keras compares; too large becomes infinite."""
    return ctypes.c_float(value).value
