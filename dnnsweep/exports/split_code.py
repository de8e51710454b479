"""The part of a listing that splits and weights the rows, as `dnnsweep.datasets` does."""

from __future__ import annotations

from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import call
from dnnsweep.records import DataTrait


def split(facts: DataFacts) -> str:
    """Return the code that splits the rows."""
    if facts.split_by or facts.order_by:
        return _split_by_column(facts)
    draws = [] if facts.has(DataTrait.OWN_TEST) or not facts.n_test else [("test", facts.n_test, facts.seed)]
    draws.append(("val", facts.n_validation, facts.validation_seed))
    lines = []
    x, y, w = "x", "y", "weights"
    for name, n_rows, seed in draws:
        options = [f"test_size={n_rows}", f"random_state={seed}", *([f"stratify={y}"] if facts.classes else [])]
        arrays, parts = [x, y], ["x_train", f"x_{name}", "y_train", f"y_{name}"]
        if facts.sample_weight:
            arrays, parts = [*arrays, w], [*parts, "w_train", "_"]
        lines.append(call(f"{', '.join(parts)} = train_test_split", *arrays, *options))
        x, y, w = "x_train", "y_train", "w_train"
    return "\n".join([*_split_comments(facts, len(draws)), *lines])


def _split_comments(facts: DataFacts, n_draws: int) -> list[str]:
    shares = ["# Each part has its share of every class."] if facts.classes else []
    if n_draws == 1:
        return ["# Hold out validation rows.", *shares]
    return ["# Hold out test rows, which no choice may depend on, and then validation rows.", *shares]


def _split_by_column(facts: DataFacts) -> str:
    rows = frame_rows(facts)
    lines = _group_split(facts) if facts.split_by else _ordered_split(facts)
    for part in facts.parts:
        lines.append(f"x_{part}, y_{part} = {rows.format(part)}, y[{part}]")
    return "\n".join([*lines, *(["w_train = weights[train]"] if facts.sample_weight else [])])


def frame_rows(facts: DataFacts) -> str:
    """Return the code that takes rows by their numbers, in whose place stands {}."""
    is_frame = facts.has(DataTrait.TEXT) or (facts.is_table and not facts.is_raw)
    return "x.iloc[{}]" if is_frame else "x[{}]"


def _group_split(facts: DataFacts) -> list[str]:
    validation, test = facts.shares
    why = ["# All rows of a group stay in the same part.", "n_groups = groups.max() + 1"]
    if not test:
        return [
            *why,
            *group_splitter(validation, facts.validation_seed),
            "train, val = next(splitter.split(groups, groups=groups))",
        ]
    return [
        *why,
        *group_splitter(test, facts.seed),
        "rest, test = next(splitter.split(groups, groups=groups))",
        *group_splitter(validation, facts.validation_seed),
        "drawn = next(splitter.split(rest, groups=groups[rest]))",
        "train, val = rest[drawn[0]], rest[drawn[1]]",
    ]


def group_splitter(share: float, seed: int) -> list[str]:
    """Define the splitter that draws groups."""
    size = f"test_size=max(1, round({share} * n_groups))"
    return [call("splitter = GroupShuffleSplit", "n_splits=1", size, f"random_state={seed}")]


def _ordered_split(facts: DataFacts) -> list[str]:
    names, last = ", ".join(facts.parts), "test rows, and those before them " if facts.n_test else ""
    cuts = [facts.n_train, *([facts.n_train + facts.n_validation] if facts.n_test else [])]
    return [
        f"# The latest rows are {last}validation rows.",
        'order = moments.to_numpy().argsort(kind="stable")',
        f"{names} = np.split(order, {cuts})",
    ]


def weights(facts: DataFacts) -> str:
    """Return the code of `w_train`, the weights of the training rows; nothing if all weigh the same."""
    if facts.class_weight is None:
        return ""
    if isinstance(facts.class_weight, str):
        why, weights = (
            "# Weight the rows so that all classes count equally in the loss.",
            'compute_sample_weight("balanced", y_train)',
        )
    else:
        values = ", ".join(str(facts.class_weight[label]) for label in facts.classes)
        why, weights = "# Weight of a row of each class in the loss.", f"np.array([{values}])[y_train]"
    return f"{why}\nw_train = {'w_train * ' if facts.sample_weight else ''}{weights}"
