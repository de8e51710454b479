"""The part of a listing that splits the rows and weights them, as `dnnsweep.datasets` does."""

from __future__ import annotations

from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import call
from dnnsweep.records import DataTrait


def split(facts: DataFacts) -> str:
    """Return the code that splits the rows."""
    if facts.split_by or facts.order_by:
        return _split_by_column(facts)
    draws = [] if facts.has(DataTrait.OWN_TEST) or not facts.n_test else [("test", facts.n_test)]
    draws.append(("val", facts.n_validation))
    lines = []
    given, (x, y, w) = ("x_train", "y_train", "w_train"), ("x", "y", "weights")
    for name, n_rows in draws:
        drawn = f"test_size={n_rows}, random_state={facts.seed}{f', stratify={y}' if facts.classes else ''}"
        parts, weights = f"x_train, x_{name}, y_train, y_{name}", []
        if facts.sample_weight:
            parts, weights = f"{parts}, w_train, _", [w]
        lines.append(call(f"{parts} = train_test_split", x, y, *weights, *drawn.split(", ")))
        x, y, w = given
    return "\n".join([*_why_split(facts, len(draws)), *lines])


def _why_split(facts: DataFacts, n_draws: int) -> list[str]:
    shares = ["# Each part has its share of every class."] if facts.classes else []
    if n_draws == 1:
        return ["# Rows to validate on are kept apart from those to train on.", *shares]
    return ["# First the test rows, which no choice may depend on, then those to validate on.", *shares]


def _split_by_column(facts: DataFacts) -> str:
    taken = "x.iloc[{}]" if _is_frame(facts) else "x[{}]"
    lines = _drawn_groups(facts) if facts.split_by else _cut_order(facts)
    for part in facts.parts:
        lines.append(f"x_{part}, y_{part} = {taken.format(part)}, y[{part}]")
    return "\n".join([*lines, *(["w_train = weights[train]"] if facts.sample_weight else [])])


def _is_frame(facts: DataFacts) -> bool:
    return facts.has(DataTrait.TEXT) or (facts.is_table and not facts.is_raw)


def _drawn_groups(facts: DataFacts) -> list[str]:
    validation, test = facts.shares
    why = ["# All rows of a group are in one part.", "n_groups = groups.max() + 1"]
    if not test:
        return [*why, *_draw(facts, validation), "train, val = next(splitter.split(groups, groups=groups))"]
    return [
        *why,
        *_draw(facts, test),
        "rest, test = next(splitter.split(groups, groups=groups))",
        *_draw(facts, validation),
        "drawn = next(splitter.split(rest, groups=groups[rest]))",
        "train, val = rest[drawn[0]], rest[drawn[1]]",
    ]


def _draw(facts: DataFacts, share: float) -> list[str]:
    size = f"test_size=max(1, round({share} * n_groups))"
    return [call("splitter = GroupShuffleSplit", "n_splits=1", size, f"random_state={facts.seed}")]


def _cut_order(facts: DataFacts) -> list[str]:
    names = ", ".join(facts.parts)
    cuts = [facts.n_train, *([facts.n_train + facts.n_validation] if facts.n_test else [])]
    return [
        "# The latest rows are held out, those before them are validated on.",
        'order = moments.to_numpy().argsort(kind="stable")',
        f"{names} = np.split(order, {cuts})",
    ]


def weights(facts: DataFacts) -> str:
    """Return the code of the weights of the training rows, `w_train`; nothing where all count alike."""
    if facts.class_weight is None:
        return ""
    if isinstance(facts.class_weight, str):
        why, weights = "# All classes count alike in the loss.", 'compute_sample_weight("balanced", y_train)'
    else:
        listed = ", ".join(str(facts.class_weight[label]) for label in facts.classes)
        why, weights = "# What a row of each class counts in the loss.", f"np.array([{listed}])[y_train]"
    return f"{why}\nw_train = {'w_train * ' if facts.sample_weight else ''}{weights}"
