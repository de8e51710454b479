"""Scores of all slots on the validation rows, inside the compiled program: those of `trainers.scores`."""

from __future__ import annotations

import tensorflow as tf

from dnnsweep.records import Task
from dnnsweep.trainers.array.config import ArrayConfig
from dnnsweep.trainers.array.rows import Targets
from dnnsweep.trainers.array.types import SlotLogits, SlotRows, SlotRowUnits, SlotScores


def probabilities_of(task: Task, logits: SlotLogits) -> SlotRowUnits:
    """Return the probabilities that networks answer with (slots, rows, outputs)."""
    return tf.sigmoid(logits) if task is Task.BINARY else tf.nn.softmax(logits)


def scores(config: ArrayConfig, probabilities: SlotRowUnits, targets: Targets) -> dict[str, SlotScores]:
    """Return the scores that a sweep asks for, each (slots,).

    Args:
        config: Names the scores.
        probabilities: What each network answers to all validation rows (slots, rows, outputs).
        targets: Class indices of the rows, and which rows count.

    Returns:
        Name -> score in double precision; NaN in slots whose answers are not finite.
    """
    names = config.layout.scores
    by_name: dict[str, SlotScores] = {}
    if set(names) - {"val_auc"}:
        by_name = _averages(probabilities, targets)
    if "val_auc" in names:
        by_name["val_auc"] = _auc(probabilities, targets)
    is_number = tf.math.is_finite(probabilities)  # (slots, rows, outputs)
    if targets.is_row is not None:
        is_number |= targets.is_row[..., None] == 0
    is_finite = tf.reduce_all(is_number, axis=(1, 2))  # (slots,)
    nan = tf.constant(float("nan"), tf.float64)
    return {name: tf.where(is_finite, by_name[name], nan) for name in names}


def _averages(probabilities: SlotRowUnits, targets: Targets) -> dict[str, SlotScores]:
    """Return precision, recall and F1 (slots,), each averaged over the classes that occur in targets or answers."""
    n_classes = max(2, probabilities.shape[-1])
    is_true = tf.one_hot(targets.y, n_classes, dtype=tf.float64)  # (slots or 1, rows, classes)
    is_answer = tf.one_hot(_labels(probabilities, targets.y), n_classes, dtype=tf.float64)  # (slots, rows, classes)
    if targets.is_row is not None:
        is_true, is_answer = (part * tf.cast(targets.is_row, tf.float64)[..., None] for part in (is_true, is_answer))
    n_right = tf.reduce_sum(is_true * is_answer, axis=1)  # (slots, classes)
    n_true, n_answered = (tf.reduce_sum(part, axis=1) for part in (is_true, is_answer))  # (slots or 1, c), (slots, c)
    occurs = tf.cast((n_true + n_answered) > 0, tf.float64)  # (slots, classes)
    by_class = {
        "val_precision": tf.math.divide_no_nan(n_right, n_answered),
        "val_recall": tf.math.divide_no_nan(n_right, n_true + tf.zeros_like(n_right)),
        "val_f1": tf.math.divide_no_nan(2 * n_right, n_true + n_answered),
    }
    n_occurring = tf.reduce_sum(occurs, axis=1)  # (slots,)
    return {name: tf.reduce_sum(part * occurs, axis=1) / n_occurring for name, part in by_class.items()}


def _labels(probabilities: SlotRowUnits, y: SlotRows) -> SlotRows:
    """Return the class that each network answers (slots, rows), in the type of the targets."""
    n_outputs = probabilities.shape[-1]
    if n_outputs == 1:
        return tf.cast(probabilities[..., 0] > 0.5, y.dtype)
    # Not argmax, which XLA does not vectorise: the first of the largest.
    is_top = probabilities == tf.reduce_max(probabilities, axis=-1, keepdims=True)  # (slots, rows, classes)
    return tf.reduce_min(tf.where(is_top, tf.range(n_outputs, dtype=y.dtype), n_outputs), axis=-1)


def _auc(probabilities: SlotRowUnits, targets: Targets) -> SlotScores:
    """Return the area under the ROC curve (slots,), averaged over classes against the rest.

    It is the share of pairs of a row of the class and another one that are in the right order, ties counting half:
    (R - P (P + 1) / 2) / (P N), R the sum of the ranks of the P rows of the class among all P + N.

    References:
        Mann and Whitney, On a test of whether one of two random variables is stochastically larger, 1947.
    """
    n_slots, n_rows, n_outputs = probabilities.shape
    values, y = tf.transpose(probabilities, (0, 2, 1)), targets.y  # (slots, outputs, rows)
    classes = tf.range(n_outputs, dtype=y.dtype) if n_outputs > 1 else tf.ones((1,), y.dtype)
    is_class = tf.cast(y[:, None, :] == classes[:, None], tf.float64)  # (slots or 1, outputs, rows)
    n_counted = tf.constant(n_rows, tf.float64)
    if targets.is_row is not None:
        counts = tf.cast(targets.is_row, tf.float64)[:, None]  # (slots, 1, rows)
        values = tf.where(counts > 0, values, 2 * tf.ones_like(values))  # behind all probabilities: no rank changes
        is_class, n_counted = is_class * counts, tf.reduce_sum(counts, axis=2)  # (slots, outputs, rows), (slots, 1)
    descending, order = tf.math.top_k(-values, n_rows)
    ranks = _ranks(-descending)  # (slots, outputs, rows), the smallest first
    of_class = tf.gather(is_class + tf.zeros((n_slots, 1, 1), tf.float64), order, batch_dims=2)
    n_in = tf.reduce_sum(is_class, axis=2)  # (slots or 1, outputs)
    n_out = n_counted - n_in
    area = (tf.reduce_sum(ranks * of_class, axis=2) - n_in * (n_in + 1) / 2) / (n_in * n_out)  # (slots, outputs)
    has_both = (n_in > 0) & (n_out > 0)
    total = tf.reduce_sum(tf.where(has_both, area, tf.zeros_like(area)), axis=1)  # (slots,)
    return total / tf.reduce_sum(tf.cast(has_both, tf.float64), axis=1)


def _ranks(ordered: SlotRowUnits) -> SlotRowUnits:
    """Return the ranks from 1 of values that ascend along the last axis; equal values share their mean rank."""
    n_slots, n_outputs, n_rows = ordered.shape
    n_lists = n_slots * n_outputs
    is_new = tf.concat(
        [tf.ones_like(ordered[..., :1]), tf.cast(ordered[..., 1:] > ordered[..., :-1], ordered.dtype)], -1
    )
    tie = tf.cast(tf.cumsum(tf.cast(is_new, tf.int32), axis=-1) - 1, tf.int32)  # which group of equal values
    ids = tf.reshape(tie, (n_lists, n_rows)) + n_rows * tf.range(n_lists)[:, None]  # (lists, rows), each group's own
    ones = tf.ones((n_lists * n_rows,), tf.float64)
    counts = tf.math.unsorted_segment_sum(ones, tf.reshape(ids, (-1,)), n_lists * n_rows)
    counts = tf.reshape(counts, (n_lists, n_rows))  # size of each group
    ranks = tf.cumsum(counts, axis=1, exclusive=True) + (counts + 1) / 2  # of each group
    return tf.reshape(tf.gather(tf.reshape(ranks, (-1,)), ids), (n_slots, n_outputs, n_rows))
