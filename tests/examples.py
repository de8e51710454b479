"""What is tried with every change, and what only where `HYPOTHESIS_PROFILE` is `full`.

Hypothesis tries a few examples otherwise, always the same, and of a few tables only the cases that no others stand for.
"""

from __future__ import annotations

import os
from typing import Final

import hypothesis
import pytest

PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "ci")
#: One in so many of the full profile's examples is tried otherwise, and never fewer than the other number.
SHARE: Final = 4
MIN_EXAMPLES: Final = 5
#: Lets XLA compile in half the time what then runs more slowly.
QUICK_COMPILATION: Final = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
#: What Hypothesis tries where a test does not say.
USUAL: Final = 100


def n_examples(full: int = USUAL) -> int:
    """Return how many examples to try where the full profile tries so many."""
    return full if PROFILE == "full" else max(MIN_EXAMPLES, full // SHARE)


def load_profile() -> None:
    """Let Hypothesis follow the profile; how busy a machine is fails no test, whichever it is."""
    hypothesis.settings.register_profile("full", deadline=None)
    hypothesis.settings.register_profile(
        "ci", deadline=None, max_examples=n_examples(), derandomize=True, database=None
    )
    hypothesis.settings.load_profile(PROFILE)


def thorough(why: str) -> pytest.MarkDecorator:
    """Mark a test or a case that only the full profile tries.

    Args:
        why: Which others show the same.
    """
    return pytest.mark.skipif(PROFILE != "full", reason=f"tried with HYPOTHESIS_PROFILE=full: {why}")


#: Marks a test or a case in which the package's programs are carried out operation by operation: what they compute is
#: the same up to rounding, and a few dozen steps take less time than to compile them. It is for what other cases hold
#: compiled programs to. With the full profile, all are compiled.
uncompiled = pytest.mark.uncompiled
