"""The order in which a trial sees its training rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def row_order(seed: int, epoch: int, n_rows: int) -> NDArray[np.int32]:
    """Return the order of the training rows in an epoch; depends on its arguments only.

    Args:
        seed: Seed of the trial, in [0, 2**64).
        epoch: Epoch, from 1.
        n_rows: Number of training rows.

    Returns:
        A permutation of 0 to `n_rows - 1`, from the counter-based generator Philox with the key (seed, epoch).

    Example:
        >>> row_order(0, 1, 8).tolist() == row_order(0, 1, 8).tolist()
        True
        >>> sorted(row_order(0, 2, 4).tolist())
        [0, 1, 2, 3]

    References:
        Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64)))
    return generator.permutation(n_rows).astype(np.int32)  # (rows,)
