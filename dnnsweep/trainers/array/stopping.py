"""Early stopping, plateaus and divergence inside the compiled program: the records of `stopping` for all slots."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from dnnsweep.records import Reason
from dnnsweep.trainers.array.types import METRICS, PlateauRule, Rates, Shape, Standing
from dnnsweep.trainers.stopping import DIVERGED_LOSS

#: How a trial ended -> its code; 0 stands for a trial that goes on.
ENDS: Final = {Reason.COMPLETED: 1, Reason.EARLY_STOPPED: 2, Reason.DIVERGED: 3}


def judge(shape: Shape, metrics: Any, standing: Standing) -> tuple[Standing, Any, Any]:
    """Judge an epoch of every slot.

    Args:
        shape: Holds the rule.
        metrics: Of the epoch (slots, measured).
        standing: Before it.

    Returns:
        Where trials stand now, how they ended (slots,), and whether the epoch is the best so far (slots,).
    """
    epoch = standing.epoch + 1
    best, is_better, n_waited = _compared(shape, metrics, standing)
    ends = tf.zeros_like(epoch)
    if shape.monitor is not None:
        is_flat = tf.logical_not(is_better) & (epoch > shape.start_from_epoch + 1) & (n_waited >= shape.patience)
        ends = tf.where(is_flat, ENDS[Reason.EARLY_STOPPED], ends)
    ends = tf.where(epoch >= shape.n_epochs, ENDS[Reason.COMPLETED], ends)
    ends = tf.where(_is_diverged(metrics), ENDS[Reason.DIVERGED], ends)
    best_epoch = tf.where(is_better, epoch, standing.best_epoch)
    rates = standing.rates
    if shape.plateau is not None and isinstance(rates, Rates):
        rates = _reduced(shape.plateau, metrics, rates, epoch)
    after = Standing(best, n_waited, epoch, best_epoch, standing.is_active, rates)
    return after, tf.where(standing.is_active, ends, 0), is_better


def _compared(shape: Shape, metrics: Any, standing: Standing) -> tuple[Any, Any, Any]:
    """Return the best value, whether this epoch reached it, and how many epochs ago it was reached."""
    best = standing.best
    if shape.monitor is None:
        return best, tf.ones_like(standing.is_active), standing.n_waited
    value, is_better = _improved(shape, shape.monitor, metrics, best)
    is_better &= standing.epoch >= shape.start_from_epoch
    n_waited = tf.where(is_better | (standing.epoch <= shape.start_from_epoch), 0, standing.n_waited + 1)
    return tf.where(is_better, value, best), is_better, n_waited


def _improved(rule: Shape | PlateauRule, monitor: int, metrics: Any, best: Any) -> tuple[Any, Any]:
    """Return what a rule looks at, and whether it beats the best so far."""
    scale, offset, delta = (tf.constant(part, metrics.dtype) for part in (rule.scale, rule.offset, rule.min_delta))
    value = metrics[:, monitor] * scale + offset
    is_beaten = value - delta > best if rule.is_maximized else value + delta < best
    return value, tf.where(tf.math.is_nan(best), tf.logical_not(tf.math.is_nan(value)), is_beaten)


def _reduced(rule: PlateauRule, metrics: Any, rates: Rates, epoch: Any) -> Rates:
    """Return learning rates after an epoch, reduced where it was one too many without improvement."""
    value, is_better = _improved(rule, rule.monitor, metrics, rates.best)
    n_cooling = tf.maximum(rates.n_cooling - 1, 0)
    is_counted = tf.logical_not(is_better) & (n_cooling == 0) & (epoch > 1)
    n_waited = tf.where(is_counted, tf.where(rates.n_cooling > 0, 0, rates.n_waited) + 1, 0)
    floor, dtype = tf.constant(rule.min_rate, metrics.dtype), rates.rate.dtype
    is_due = is_counted & (n_waited >= rule.patience) & (rates.rate > floor)
    lower = tf.maximum(tf.cast(rates.rate, tf.float64) * rule.factor, rule.min_rate)  # rounded once, as in Keras
    return Rates(
        tf.where(is_due, tf.cast(lower, dtype), rates.rate),
        tf.where(is_better, value, rates.best),
        tf.where(is_due, 0, n_waited),
        tf.where(is_due, rule.cooldown, n_cooling),
    )


def _is_diverged(metrics: Any) -> Any:
    losses = tf.gather(metrics, [METRICS.index("loss"), METRICS.index("val_loss")], axis=1)
    is_finite = tf.reduce_all(tf.math.is_finite(metrics[:, METRICS.index("l2_penalty")][:, None] + losses), axis=1)
    return tf.logical_not(is_finite & tf.reduce_all(losses <= DIVERGED_LOSS, axis=1))
