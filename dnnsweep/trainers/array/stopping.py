"""Early stopping, plateaus and divergence in the compiled program: the rules of `trainers.stopping` for all slots."""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from dnnsweep.records import Reason
from dnnsweep.trainers.array.config import ArrayConfig, PlateauRule
from dnnsweep.trainers.array.metric_layout import MetricLayout, Monitor
from dnnsweep.trainers.array.types import PlateauState, SlotCounts, SlotFlags, SlotMetrics, SlotProgress, SlotValues
from dnnsweep.trainers.stopping import DIVERGED_LOSS

#: How a trial ended -> its code; 0 stands for a trial that continues.
END_CODES: Final = {Reason.COMPLETED: 1, Reason.EARLY_STOPPED: 2, Reason.DIVERGED: 3}


class Decision(NamedTuple):
    """What the rules say after an epoch.

    Args:
        progress: How far each slot's trial has come now.
        end_codes: How each slot's trial ended (slots,), by `END_CODES`; 0 where it continues.
        is_best: Whether the epoch is the best so far (slots,), so that its weights are kept.
    """

    progress: SlotProgress
    end_codes: SlotCounts
    is_best: SlotFlags


def decide(config: ArrayConfig, metrics: SlotMetrics, progress: SlotProgress) -> Decision:
    """Apply the rules to an epoch of every slot.

    Args:
        config: Holds the rules.
        metrics: Metrics of the epoch (slots, metrics).
        progress: Progress before the epoch.
    """
    epoch, rule = progress.epoch + 1, config.early_stopping  # (slots,)
    best, is_best, n_waited = _compare(config, metrics, progress)
    codes = tf.zeros_like(epoch)  # (slots,); where several rules end a trial, the last one names the reason
    if rule is not None:
        is_flat = tf.logical_not(is_best) & (epoch > rule.start_from_epoch + 1) & (n_waited >= rule.patience)
        codes = tf.where(is_flat, END_CODES[Reason.EARLY_STOPPED], codes)
    codes = tf.where(epoch >= config.n_epochs, END_CODES[Reason.COMPLETED], codes)
    codes = tf.where(_is_diverged(config.layout, metrics), END_CODES[Reason.DIVERGED], codes)
    best_epoch = tf.where(is_best, epoch, progress.best_epoch)
    plateau = progress.plateau
    if config.plateau is not None and isinstance(plateau, PlateauState):
        plateau = _reduce(config.plateau, metrics, plateau, epoch)
    after = SlotProgress(best, n_waited, epoch, best_epoch, progress.is_active, plateau)
    return Decision(after, tf.where(progress.is_active, codes, 0), is_best)


def _compare(
    config: ArrayConfig, metrics: SlotMetrics, progress: SlotProgress
) -> tuple[SlotValues, SlotFlags, SlotCounts]:
    """Return the best value, whether this epoch reached it, and how many epochs ago it was reached."""
    best, rule = progress.best, config.early_stopping
    if rule is None:
        return best, tf.ones_like(progress.is_active), progress.n_waited
    value, is_better = _improve(rule.monitor, metrics, best)
    is_better &= progress.epoch >= rule.start_from_epoch
    n_waited = tf.where(is_better | (progress.epoch <= rule.start_from_epoch), 0, progress.n_waited + 1)
    return tf.where(is_better, value, best), is_better, n_waited


def _improve(monitor: Monitor, metrics: SlotMetrics, best: SlotValues) -> tuple[SlotValues, SlotFlags]:
    """Return what a rule watches, and whether it beats the best so far; NaN is never better (slots,)."""
    scale, offset, delta = (
        tf.convert_to_tensor(part, metrics.dtype) for part in (monitor.scale, monitor.offset, monitor.min_delta)
    )
    value = metrics[:, monitor.index] * scale + offset  # (slots,)
    beaten = tf.cast(best, tf.float32)  # (slots,); compared in single precision, as in Keras
    is_beaten = (
        tf.cast(value - delta, tf.float32) > beaten
        if monitor.is_maximized
        else tf.cast(value + delta, tf.float32) < beaten
    )
    return value, tf.where(tf.math.is_nan(best), tf.logical_not(tf.math.is_nan(value)), is_beaten)


def _reduce(rule: PlateauRule, metrics: SlotMetrics, state: PlateauState, epoch: SlotCounts) -> PlateauState:
    """Return learning rates after an epoch, reduced where it was one too many without improvement."""
    value, is_better = _improve(rule.monitor, metrics, state.best)
    n_cooling = tf.maximum(state.n_cooling - 1, 0)
    is_counted = tf.logical_not(is_better) & (n_cooling == 0) & (epoch > 1)
    n_waited = tf.where(is_counted, tf.where(state.n_cooling > 0, 0, state.n_waited) + 1, 0)
    dtype = state.rate.dtype
    floor = tf.constant(rule.min_rate, dtype)
    is_due = is_counted & (n_waited >= rule.patience) & (state.rate > floor)
    lower = tf.maximum(tf.cast(state.rate, tf.float64) * rule.factor, rule.min_rate)  # rounded once, as in Keras
    return PlateauState(
        tf.where(is_due, tf.cast(lower, dtype), state.rate),
        tf.where(is_better, value, state.best),
        tf.where(is_due, 0, n_waited),
        tf.where(is_due, rule.cooldown, n_cooling),
    )


def _is_diverged(layout: MetricLayout, metrics: SlotMetrics) -> SlotFlags:
    losses = tf.gather(metrics, [layout.index("loss"), layout.index("val_loss")], axis=1)  # (slots, 2)
    penalty = metrics[:, layout.index("l2_penalty")][:, None]  # (slots, 1); NaN or infinite makes the sums so
    is_finite = tf.reduce_all(tf.math.is_finite(penalty + losses), axis=1)  # (slots,)
    return tf.logical_not(is_finite & tf.reduce_all(losses <= DIVERGED_LOSS, axis=1))
