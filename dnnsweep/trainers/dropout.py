"""Keras's dropout in programs that XLA compiles: the masks that Dropout layers would draw without it, bit for bit.

Keras draws with TensorFlow's stateless Philox generator, from the layer's seed and the number of the step. XLA's
version of it gives other bits and takes longer; so the ten rounds are written out here, once for the keys (NumPy) and
once for the masks (TensorFlow). Four numbers come from one counter. Their comparisons with the rate are packed into
four bits of one value before anything reads them: otherwise XLA computes all ten rounds again for each of the four.

References:
    Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011. Srivastava et al., Dropout, 2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

#: TensorFlow scrambles a stateless seed with this key before use.
_SCRAMBLE: Final = (0x3EC8F720, 0x02461E29)
_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_WEYL: Final = (0x9E3779B9, 0xBB67AE85)
_ROUNDS: Final = 10
#: A float in [0, 1) is made of 23 random bits.
_MANTISSA_BITS: Final = 23
_LANES: Final = 4

NumpyWords = tuple[NDArray[np.uint32], ...]  # four words of a counter or two of a key, each of the same shape
TensorWords = tuple[tf.Tensor, ...]


def layer_keys(seeds: NDArray[np.int64], first_steps: NDArray[np.int64], n_steps: int) -> NDArray[np.uint32]:
    """Return the generator's key and starting counter for each step and layer.

    Args:
        seeds: Seed of each dropout layer of each slot (slots, layers), in [0, 2**31).
        first_steps: Number of steps that a slot's layers were called for before (slots,).
        n_steps: Number of steps to return keys for.

    Returns:
        Array (slots, n_steps, layers, 4): two words of key, two of counter.
    """
    step = (first_steps[:, None] + np.arange(n_steps)).astype(np.uint32)[:, :, None]  # (slots, steps, 1)
    shape = (*step.shape[:2], seeds.shape[1])
    zero = np.zeros(shape, np.uint32)
    counter = (zero + seeds.astype(np.uint32)[:, None], zero, zero + step, zero)  # (slots, steps, layers) each
    key = tuple(zero + np.uint32(word) for word in _SCRAMBLE)
    return np.stack(_philox_numpy(counter, key), axis=-1)  # (slots, steps, layers, 4)


def _philox_numpy(counter: NumpyWords, key: NumpyWords) -> NumpyWords:
    """Return four random words for each counter; `_philox` is the same for tensors."""
    wide, shift = np.uint64, np.uint64(32)
    c, k = counter, key
    with np.errstate(over="ignore"):
        for _ in range(_ROUNDS):
            p0 = c[0].astype(wide) * wide(_MULTIPLIERS[0])
            p1 = c[2].astype(wide) * wide(_MULTIPLIERS[1])
            high0, high1 = ((p >> shift).astype(np.uint32) for p in (p0, p1))
            c = (high1 ^ c[1] ^ k[0], p1.astype(np.uint32), high0 ^ c[3] ^ k[1], p0.astype(np.uint32))
            k = tuple(word + np.uint32(step) for word, step in zip(k, _WEYL, strict=True))
    return c


def _philox(counter: TensorWords, key: TensorWords) -> TensorWords:
    xor = tf.bitwise.bitwise_xor
    shift = tf.constant(32, tf.uint64)
    c, k = counter, key
    for _ in range(_ROUNDS):
        p0 = tf.cast(c[0], tf.uint64) * tf.constant(_MULTIPLIERS[0], tf.uint64)
        p1 = tf.cast(c[2], tf.uint64) * tf.constant(_MULTIPLIERS[1], tf.uint64)
        high0, high1 = (tf.cast(tf.bitwise.right_shift(p, shift), tf.uint32) for p in (p0, p1))
        c = (xor(xor(high1, c[1]), k[0]), tf.cast(p1, tf.uint32), xor(xor(high0, c[3]), k[1]), tf.cast(p0, tf.uint32))
        k = tuple(word + tf.constant(step, tf.uint32) for word, step in zip(k, _WEYL, strict=True))
    return c


def threshold(rate: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the number that the 23 random bits of a unit must reach to be kept; 0 keeps all units.

    Args:
        rate: Share of the units that are dropped, in [0, 1), in any shape.

    Example:
        >>> int(threshold(np.float32(0.5))), int(threshold(np.float32(0.0)))
        (4194304, 0)
    """
    return np.ceil(rate.astype(np.float64) * 2**_MANTISSA_BITS).astype(np.uint32)


def draw_masks(key: tf.Tensor, limit: tf.Tensor, n_units: Sequence[int]) -> tuple[tf.Tensor, ...]:
    """Draw which units are kept in a step, packed four to a word.

    Args:
        key: Key and counter of the step (slots, layers, 4), from `layer_keys`.
        limit: Threshold of each slot's rate (slots,), from `threshold`.
        n_units: For each layer, rows of a step times units.

    Returns:
        For each layer a tensor (slots, ceil(n_units / 4)) of 32-bit words, bit *i* for the *i*-th unit of each four.
    """
    return tuple(_draw(key[:, layer], limit, -(-n // _LANES)) for layer, n in enumerate(n_units))


def mask(seed: tf.Tensor, limit: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Return what one Dropout layer keeps in one step: booleans of a shape.

    Args:
        seed: The layer's seed and the number of its calls before this one (2,).
        limit: Threshold of the layer's rate (), from `threshold`.
        shape: Shape of the layer's input, rows first.
    """
    zero = tf.zeros((), tf.uint32)
    words = tf.unstack(tf.cast(seed, tf.uint32))
    key = tuple(tf.constant(word, tf.uint32) for word in _SCRAMBLE)
    scrambled = tf.stack(_philox((words[0], zero, words[1], zero), key))
    n_units = math.prod(shape)
    packed = _draw(scrambled[None], limit[None], -(-n_units // _LANES))
    return tf.reshape(unpack_mask(packed, 1, n_units), shape)


def _draw(key: tf.Tensor, limit: tf.Tensor, n_groups: int) -> tf.Tensor:
    """Return packed decisions (slots, groups) for one layer's key (slots, 4) and each slot's threshold (slots,)."""
    group = tf.cast(tf.range(n_groups, dtype=tf.int32), tf.uint32)[None] + tf.zeros_like(key[:, :1])  # (slots, groups)
    zero = tf.zeros_like(group)
    words = _philox((group, zero, zero + key[:, 2:3], zero + key[:, 3:4]), (key[:, 0:1], key[:, 1:2]))
    mantissa = tf.constant((1 << _MANTISSA_BITS) - 1, tf.uint32)
    packed = zero
    for lane, word in enumerate(words):
        is_kept = tf.bitwise.bitwise_and(word, mantissa) >= limit[:, None]
        packed = tf.bitwise.bitwise_or(packed, tf.where(is_kept, tf.constant(1 << lane, tf.uint32), zero))
    return packed


def unpack_mask(packed: tf.Tensor, n_rows: int, n_units: int) -> tf.Tensor:
    """Return which units are kept (slots, rows, units), as `draw_masks` packed it."""
    lanes = tf.constant([1 << lane for lane in range(_LANES)], tf.uint32)
    bits = tf.bitwise.bitwise_and(packed[:, :, None], lanes) > 0  # (slots, fours, 4)
    bits = tf.reshape(bits, (packed.shape[0], -1))  # (slots, at least rows * units)
    if bits.shape[1] != n_rows * n_units:
        bits = bits[:, : n_rows * n_units]
    return tf.reshape(bits, (-1, n_rows, n_units))
