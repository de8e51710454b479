"""The part of a listing that saves a model of raw rows, as `dnnsweep.trainers.raw_model` makes it."""

from __future__ import annotations

from typing import Final

from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import INDENT, call, dict_assignment, indented_code, literal, narrowed, room
from dnnsweep.exports.model_code import ListingPlan
from dnnsweep.records import DataTrait, Task

SAVE: Final = "raw_model().save(MODEL)"
#: Most values of training rows without gaps whose medians the model fills gaps of new rows with.
MAX_MEDIAN_VALUES: Final = 10_000_000
#: Scale -> code of factor and offset of scikit-learn's scaler.
_SCALES: Final = {
    "standard": ("1 / scaler.scale_", "-scaler.mean_ / scaler.scale_"),
    "minmax": ("scaler.scale_", "scaler.min_"),
}


def raw_model(plan: ListingPlan) -> str:
    """Return the definition of `raw_model()`.

    Args:
        plan: What the listing depends on.
    """
    facts = plan.facts
    with narrowed(INDENT):
        steps = _table(facts) if facts.has(DataTrait.FRAME) else _array(facts)
        code = "\n".join(step for step in [*steps, *_answers(plan)] if step)
    return f"def raw_model():\n{indented_code(code)}"


def _array(facts: DataFacts) -> list[str]:
    is_reshaped = facts.has(DataTrait.RESHAPED)
    shape = "shape" if is_reshaped else f"({facts.n_features},)"
    kind = "float32" if facts.is_raw or facts.has(DataTrait.CAST) else "float64"
    return [
        f'"""Return a model that takes raw rows and answers {_unit(facts)}."""',
        f'raw = keras.Input({shape}, name="rows", dtype="{kind}")',
        *_numbers(facts, f"keras.ops.reshape(raw, (-1, {facts.n_features}))" if is_reshaped else "raw"),
        'x = keras.ops.cast(x, "float32")',
    ]


def _unit(facts: DataFacts) -> str:
    return "with labels and probabilities" if facts.classes else "in units of the target"


def _table(facts: DataFacts) -> list[str]:
    lines = [f'"""Return a model that takes raw rows and answers {_unit(facts)}."""']
    values = "tensors" if facts.dates else "raw"
    tensors = "split_dates(dict(raw), keras.ops.sin, keras.ops.cos)"
    if facts.has(DataTrait.ONLY_TEXT):
        lines += _inputs('"string"', "columns")
        return [*lines, "parts = []", *_texts(facts, "columns", "one_hot"), *_join()]
    if not facts.has(DataTrait.TEXT):
        lines += _inputs('"float64"', "columns")
        lines += [f"tensors = {tensors}"] if facts.dates else []
        joined = f"keras.ops.concatenate([*{values}.values()], axis=1)"
        return [*lines, *_numbers(facts, joined), 'x = keras.ops.cast(x, "float32")']
    lines += [
        'kinds = {name: "string" if name in text else "float64" for name in columns}',
        "raw = {",
        "    name: keras.Input((1,), name=name, dtype=kind) for name, kind in kinds.items()",
        "}",
        *([f"tensors = {tensors}"] if facts.dates else []),
        *_numbers(facts, f"keras.ops.concatenate([{values}[name] for name in numbers], axis=1)"),
        "parts = [x]",
        *_texts(facts, "text", 'encoder.named_transformers_["onehotencoder"]'),
    ]
    return [*lines, *_join()]


def _inputs(kind: str, names: str) -> list[str]:
    return [f"raw = {{name: keras.Input((1,), name=name, dtype={kind}) for name in {names}}}"]


def _join() -> list[str]:
    return ['x = keras.ops.cast(keras.ops.concatenate(parts, axis=1), "float32")']


def _numbers(facts: DataFacts, columns: str) -> list[str]:
    """Scale numbers, and fill gaps."""
    lines = [f"x = {columns}"]
    if facts.scale in _SCALES:
        factor, offset = _SCALES[facts.scale]
        lines = [] if columns == "raw" else lines
        if (scaler := _scaler(facts)) != "scaler":
            lines.append(f"scaler = {scaler}")
        lines.append(call("rescale = layers.Rescaling", factor, offset, 'dtype="float64"'))
        lines.append(f"x = rescale({'raw' if columns == 'raw' else 'x'})")
    if facts.has(DataTrait.MISSING_NUMBERS) or facts.n_train * facts.n_features <= MAX_MEDIAN_VALUES:
        is_part = facts.has(DataTrait.TEXT)
        lines += [
            "# Missing numbers become the median of the training rows.",
            f"medians = np.median(x_train{'[:, : len(numbers)]' if is_part else ''}, axis=0)",
            "x = keras.ops.where(keras.ops.isnan(x), medians, x)",
        ]
    return lines


def _scaler(facts: DataFacts) -> str:
    """Return code of the scaler as it was fitted."""
    has_steps = facts.has(DataTrait.MISSING_NUMBERS)
    if not facts.has(DataTrait.TEXT):
        return "fill_and_scale[-1]" if has_steps else "scaler"
    kind = {"standard": "standardscaler", "minmax": "minmaxscaler"}[facts.scale]
    return 'encoder.named_transformers_["pipeline"][-1]' if has_steps else f'encoder.named_transformers_["{kind}"]'


def _texts(facts: DataFacts, names: str, encoder: str) -> list[str]:
    """Turn texts into a 0/1 column for each word."""
    fitted = [f"one_hot = {encoder}"] if encoder != "one_hot" else []
    loop = f"for name, words in zip({names}, one_hot.categories_):"
    if not (facts.has(DataTrait.MISSING_TEXT) or facts.rare):
        return [
            *fitted,
            loop,
            *_lookup("words"),
            "    parts.append(lookup(raw[name])[:, 1:])  # the first place is that of unknown texts",
        ]
    others = [f"{literal(facts.input_name(column.name))}: {literal(column.other)}" for column in facts.rare]
    unknown = "rare.get(name)" if others else "None"
    return [
        *fitted,
        *_gaps(facts),
        *([dict_assignment("rare", others)] if others else []),
        loop,
        f"    meant = dict.fromkeys(gaps, {literal(facts.table.gap)}) | {{word: word for word in words}}",
        *_lookup("meant"),
        "    # What the places of the lookup mean: unknown texts, gaps and words.",
        f"    meant = np.array([{unknown}, *meant.values()], dtype=object)",
        '    parts.append(lookup(raw[name]) @ (meant[:, None] == words).astype("float32"))',
    ]


def _lookup(words: str) -> list[str]:
    return [
        "    lookup = layers.StringLookup(",
        f'        vocabulary=[*{words}], oov_token=" ", output_mode="one_hot"',
        "    )",
    ]


def _gaps(facts: DataFacts) -> list[str]:
    """List the texts that stand for a gap, as many as fit in each line."""
    lines, head = list[str](), "gaps ="
    held: list[str] = []
    for word in map(literal, ("", *facts.table.missing)):
        if held and len(f"{head} [{', '.join([*held, word])}]") > room():
            lines.append(f"{head} [{', '.join(held)}]")
            head, held = "gaps +=", []
        held.append(word)
    return [*lines, f"{head} [{', '.join(held)}]"]


def _answers(plan: ListingPlan) -> list[str]:
    """Turn the network's outputs into labels and probabilities, or into numbers in the target's own units."""
    outputs = f"model({plan.inputs('x')})"
    if plan.facts.task is Task.REGRESSION:
        return [
            f'outputs = layers.Rescaling(float(std), float(mean), dtype="float64")({outputs})',
            'return keras.Model(raw, {"prediction": outputs[:, 0]})',
        ]
    is_binary = plan.facts.task is Task.BINARY
    options = ["vocabulary=CLASSES", "num_oov_indices=0", "invert=True"]
    options += ['oov_token=" "'] if "[UNK]" in plan.facts.classes else []
    return [
        f"{'positive' if is_binary else 'probabilities'} = {outputs}",
        *(["probabilities = keras.ops.concatenate([1 - positive, positive], axis=1)"] if is_binary else []),
        call("label = layers.StringLookup", *options),
        "prediction = label(keras.ops.argmax(probabilities, axis=1))",
        'return keras.Model(raw, {"prediction": prediction, "probabilities": probabilities})',
    ]
