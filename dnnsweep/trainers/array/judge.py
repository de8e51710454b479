"""Early stopping and divergence inside the compiled program: `stopping.Stopping` for all slots at once."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from dnnsweep.records import Reason
from dnnsweep.trainers.array.shapes import METRICS, Shape, Standing
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
    after = Standing(best, n_waited, epoch, best_epoch, standing.is_active)
    return after, tf.where(standing.is_active, ends, 0), is_better


def _compared(shape: Shape, metrics: Any, standing: Standing) -> tuple[Any, Any, Any]:
    """Return the best value, whether this epoch reached it, and how many epochs ago it was reached."""
    best = standing.best
    if shape.monitor is None:
        return best, tf.ones_like(standing.is_active), standing.n_waited
    value = metrics[:, shape.monitor] * tf.constant(shape.scale, metrics.dtype) + tf.constant(
        shape.offset, metrics.dtype
    )
    delta = tf.constant(shape.min_delta, metrics.dtype)
    is_beaten = value - delta > best if shape.is_maximized else value + delta < best
    is_better = tf.where(tf.math.is_nan(best), tf.logical_not(tf.math.is_nan(value)), is_beaten)
    is_better &= standing.epoch >= shape.start_from_epoch
    n_waited = tf.where(is_better | (standing.epoch <= shape.start_from_epoch), 0, standing.n_waited + 1)
    return tf.where(is_better, value, best), is_better, n_waited


def _is_diverged(metrics: Any) -> Any:
    losses = tf.gather(metrics, [METRICS.index("loss"), METRICS.index("val_loss")], axis=1)
    is_finite = tf.reduce_all(tf.math.is_finite(metrics[:, METRICS.index("l2_penalty")][:, None] + losses), axis=1)
    return tf.logical_not(is_finite & tf.reduce_all(losses <= DIVERGED_LOSS, axis=1))
