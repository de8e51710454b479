"""The part of a listing that says whether a run of it repeats the trial: its curve beside the sweep's."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Final

from dnnsweep.exports.formatting import WIDTH, call
from dnnsweep.records import Curve, State, Trial

#: The metric that is compared: it tells runs apart sooner than shares of rows do.
METRIC: Final = "val_loss"
#: Largest relative and absolute difference of an epoch that is rounding alone.
TOLERANCES: Final = (1e-5, 1e-6)


def stated_curve(trial: Trial, curve: Curve) -> tuple[float, ...]:
    """Return the values of `METRIC` that a run of the listing is compared with, one for each epoch.

    There are none if the trial was cut short, because the listing trains to the end, nor if one of them is no number.

    Args:
        trial: The trial.
        curve: What was measured while it trained.
    """
    values = curve.values(METRIC)
    return values if trial.state is State.COMPLETE and all(map(math.isfinite, values)) else ()


def measured(values: Sequence[float]) -> str:
    """Return the assignment of the sweep's values."""
    lines = textwrap.wrap(" ".join(f"{value:.7g}" for value in values), WIDTH)
    return "\n".join(
        [f"# `{METRIC}` after each epoch, as the sweep measured it.", 'MEASURED = """', *lines, '""".split()']
    )


def compare_mean(metric: str, value: float) -> str:
    """Return the statements that print whether the mean over folds, of `values`, is the trial's value."""
    tolerances = (f"{name}={bound}" for name, bound in zip(("rel_tol", "abs_tol"), TOLERANCES, strict=True))
    repeats = call("is_close = math.isclose", "np.mean(values)", repr(value), *tolerances)
    text = f"{{'repeats' if is_close else 'left'}} the trial, whose {metric} was {value:.6g}"
    return f'{repeats}\nprint(f"{text}")'


def compare_function() -> str:
    """Return the definition of `compare(curve)`, which prints whether a run repeats the trial."""
    relative, absolute = TOLERANCES
    return f'''def compare(curve):
    """Say whether this run repeats the trial, or rounding led it elsewhere."""
    for epoch, (here, there) in enumerate(zip(curve, map(float, MEASURED)), start=1):
        if not math.isclose(here, there, rel_tol={relative}, abs_tol={absolute}):
            print(f"left the trial in epoch {{epoch}}, whose {METRIC} was {{there:.6g}}")
            print(f"and is {{here:.6g}} now: it repeats within the spread of seeds only")
            return
    if len(curve) == len(MEASURED):
        print(f"repeats the trial: {METRIC} agrees in each of {{len(curve)}} epochs")
    else:
        print(f"left the trial: {{len(curve)}} epochs, not {{len(MEASURED)}}")
'''
