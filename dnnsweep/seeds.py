"""Seeds: one number derived from where it is used, the same on every machine and in every process.

Contexts in use, each after the sweep's seed unless noted:

- `"split", number`: the validation rows of a trial, where each trial has others;
- `"block split", block`: the validation rows of a block of repeats; with folds, of as many blocks as there are folds;
- `"trial", number`: the trial's own seed, from which weights, row order and dropout follow;
- `"ask", number`: the sampler, for one suggestion;
- `"sequence"`: the scrambling of a Sobol sequence;
- `"grid"`: the order of a grid's points;
- `"orders", block`: the orders in which players join, where not all coalitions are trained;
- `"isolate", name`: the settings of a step with which the values of a hyperparameter are tried.
"""

from __future__ import annotations

import hashlib


def derive(*parts: int | str) -> int:
    """Derive a seed from its context, for example (sweep seed, "trial", number).

    Args:
        parts: Values that the seed depends on, in order.

    Returns:
        An integer in [0, 2**31): the first 31 bits of BLAKE2b over the parts. Different contexts give
        independent seeds; two of n contexts collide with probability of about n**2 / 2**32.

    Example:
        >>> derive(0, "trial", 7) == derive(0, "trial", 7)
        True
        >>> derive(0, "trial", 7) == derive(0, "trial", 8)
        False
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1
