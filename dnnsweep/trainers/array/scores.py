"""Scores of all slots on the validation rows, inside the compiled program: those of `trainers.scores`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dnnsweep.records import Task
from dnnsweep.trainers.array.types import Shape


def answers_of(shape: Shape, logits: Any) -> Any:
    """Return the probabilities that networks answer with (slots, rows, outputs)."""
    return tf.sigmoid(logits) if shape.task is Task.BINARY else tf.nn.softmax(logits)


def scores(shape: Shape, answers: Any, y: Any) -> Any:
    """Return the scores that a shape names (slots, scores), in its order.

    Args:
        shape: Of the networks.
        answers: To all validation rows (slots, rows, outputs).
        y: Class indices (rows,).
    """
    dtype = answers.dtype
    known: dict[str, Any] = {}
    if set(shape.scores) - {"val_auc"}:
        known = _averaged(answers, y)
    if "val_auc" in shape.scores:
        known["val_auc"] = _auc(answers, y)
    is_finite = tf.reduce_all(tf.math.is_finite(answers), axis=(1, 2))
    found = tf.stack([tf.cast(known[name], dtype) for name in shape.scores], axis=1)
    return tf.where(is_finite[:, None], found, tf.constant(float("nan"), dtype))


def _averaged(answers: Any, y: Any) -> dict[str, Any]:
    """Return precision, recall and F1 (slots,), each averaged over the classes that occur in targets or answers."""
    n_classes = max(2, answers.shape[-1])
    if answers.shape[-1] == 1:
        labels = tf.cast(answers[..., 0] > 0.5, y.dtype)
    else:  # the first of the largest
        is_top = answers == tf.reduce_max(answers, axis=-1, keepdims=True)
        labels = tf.reduce_min(tf.where(is_top, tf.range(n_classes, dtype=y.dtype), n_classes), axis=-1)
    is_true = tf.one_hot(y, n_classes, dtype=tf.float64)  # (rows, classes)
    is_said = tf.one_hot(labels, n_classes, dtype=tf.float64)  # (slots, rows, classes)
    right = tf.einsum("nc,snc->sc", is_true, is_said)
    n_true, n_said = tf.reduce_sum(is_true, axis=0), tf.reduce_sum(is_said, axis=1)
    occurs = tf.cast((n_true + n_said) > 0, tf.float64)
    parts = {
        "val_precision": tf.math.divide_no_nan(right, n_said),
        "val_recall": tf.math.divide_no_nan(right, n_true + tf.zeros_like(right)),
        "val_f1": tf.math.divide_no_nan(2 * right, n_true + n_said),
    }
    n_occurring = tf.reduce_sum(occurs, axis=1)
    return {name: tf.reduce_sum(part * occurs, axis=1) / n_occurring for name, part in parts.items()}


def _auc(answers: Any, y: Any) -> Any:
    """Return the area under the ROC curve (slots,), averaged over classes against the rest.

    It is the share of pairs of a row of the class and another one that are in the right order, ties counting half:
    (R - P (P + 1) / 2) / (P N), R the sum of the ranks of the P rows of the class among all P + N.

    References:
        Mann and Whitney, On a test of whether one of two random variables is stochastically larger, 1947.
    """
    n_slots, n_rows, n_outputs = answers.shape
    values = tf.transpose(answers, (0, 2, 1))  # (slots, outputs, rows)
    classes = tf.range(n_outputs, dtype=y.dtype) if n_outputs > 1 else tf.ones((1,), y.dtype)
    is_class = tf.cast(y[None, :] == classes[:, None], tf.float64)  # (outputs, rows)
    descending, order = tf.math.top_k(-values, n_rows)
    ordered = -descending  # the smallest first
    is_new = tf.concat(
        [tf.ones_like(ordered[..., :1]), tf.cast(ordered[..., 1:] > ordered[..., :-1], ordered.dtype)], -1
    )
    tie = tf.cast(tf.cumsum(tf.cast(is_new, tf.int32), axis=-1) - 1, tf.int32)  # which group of equal values
    n_lists = n_slots * n_outputs
    ids = tf.reshape(tie, (n_lists, n_rows)) + n_rows * tf.range(n_lists)[:, None]
    ones = tf.ones((n_lists * n_rows,), tf.float64)
    counts = tf.math.unsorted_segment_sum(ones, tf.reshape(ids, (-1,)), n_lists * n_rows)
    counts = tf.reshape(counts, (n_lists, n_rows))
    ranks = tf.cumsum(counts, axis=1, exclusive=True) + (counts + 1) / 2  # of each group, from 1
    ranks = tf.reshape(tf.gather(tf.reshape(ranks, (-1,)), ids), (n_slots, n_outputs, n_rows))
    of_class = tf.gather(is_class + tf.zeros((n_slots, 1, 1), tf.float64), order, batch_dims=2)
    n_in = tf.reduce_sum(is_class, axis=1)
    n_out = n_rows - n_in
    area = (tf.reduce_sum(ranks * of_class, axis=2) - n_in * (n_in + 1) / 2) / (n_in * n_out)
    is_there = (n_in > 0) & (n_out > 0)
    total = tf.reduce_sum(tf.where(is_there, area, tf.zeros_like(area)), axis=1)
    return total / tf.reduce_sum(tf.cast(is_there, tf.float64))
