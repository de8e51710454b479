"""The part of a listing that reads, splits and encodes the rows, step by step as `dnnsweep.datasets` does.

Functions return lines of code and are named by what these lines do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dnnsweep.exports.column_code import conversion, date_call, join_rare_words
from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import call, list_assignment, literal, room
from dnnsweep.exports.own_functions import OwnFunction
from dnnsweep.exports.split_code import split, weights
from dnnsweep.records import DataTrait, Task

IMPUTER: Final = 'SimpleImputer(strategy="median", keep_empty_features=True)'
#: Data sets that Keras does not store as an npz file.
LOADED_BY_KERAS: Final = ("fashion_mnist", "cifar10")
SCALERS: Final = {"standard": "StandardScaler()", "minmax": "MinMaxScaler()"}


def save_statement(facts: DataFacts) -> str:
    """Return the statement that saves arrays passed in Python, so that the listing can read them."""
    if facts.is_pickled:
        return f'pd.to_pickle(({_frame(facts, "x")}, y), "{facts.file}")'
    x = 'x.astype("float64")' if facts.has(DataTrait.FRAME) else "x"
    y = "list(y)" if facts.has(DataTrait.TEXT_TARGET) else "y"
    return f'np.savez("{facts.file}", x={x}, y={y})'


def _frame(facts: DataFacts, rows: str) -> str:
    """Return code that makes a table of rows, with the names of columns that they have or are given."""
    names = '"x{}".format' if facts.table.is_named is False else "str"
    return f"pd.DataFrame({rows}).infer_objects().rename(columns={names})"


def blocks(facts: DataFacts) -> list[str]:
    """Return the code from the source to `x_train`, `x_val`, `x_test` and their targets, block by block."""
    rows = [*reading(facts), split(facts), join_rare_words(facts), weights(facts), *encoding(facts)]
    return [block for block in rows if block]


def reading(facts: DataFacts) -> list[str]:
    """Return the code from the source to `x` and `y`, block by block."""
    return [block for block in (_read(facts), _prepare_columns(facts)) if block]


def encoding(facts: DataFacts) -> list[str]:
    """Return the code that encodes the parts of the rows, block by block."""
    return [block for block in (_encode(facts), _standardise(facts)) if block]


def _read(facts: DataFacts) -> str:
    n_rows = facts.n_train + facts.n_validation + facts.n_test
    classes = f" in {len(facts.classes)} classes" if facts.classes else ""
    features = f"{facts.n_features} feature{'s' if facts.n_features > 1 else ''}"
    return "\n".join([f"# {n_rows} rows{classes}; the network takes {features}.", *_reader(facts)(facts)])


def _reader(facts: DataFacts) -> Callable[[DataFacts], list[str]]:
    if facts.is_pickled:
        return _read_pickle
    if facts.is_table:
        return _read_table
    if facts.kind == "python" and not facts.has(DataTrait.DICTIONARY_OF_ARRAYS):
        return _read_function
    if facts.kind == "keras" and facts.name in LOADED_BY_KERAS:
        return _read_keras
    return _read_sklearn if facts.kind == "sklearn" else _read_npz


def _read_sklearn(facts: DataFacts) -> list[str]:
    if facts.name != "diabetes":
        return [f"x, y = load_{facts.name}(return_X_y=True)"]
    why = "# Unscaled, because scikit-learn would scale by all rows, including held-out ones."
    return [why, "x, y = load_diabetes(return_X_y=True, scaled=False)"]


def _read_table(facts: DataFacts) -> list[str]:
    target = conversion(facts, facts.target_column, f"data[{literal(facts.target or '')}]")
    if facts.task is Task.REGRESSION:
        target = f'{target}.to_numpy("float64")'
    elif facts.is_indexed:
        target = f"{target}.to_numpy()"
    left_out = [literal(name) for name in (facts.target or "", *facts.set_apart)]
    return [
        f"data = {_whole_table(facts)}",
        *_drop_columns(left_out),
        "columns = list(x)",
        *_target(facts, target),
        *_read_roles(facts, "data"),
        *_convert_columns(facts, "x", "float32" if facts.is_raw else ""),
    ]


def _whole_table(facts: DataFacts) -> str:
    if facts.kind == "python":
        table = f"{_function_name(facts)}().rename(columns=str)"
        return f"clean({table})" if facts.is_prepared else table
    return read_call(facts, literal(facts.file))


def read_call(facts: DataFacts, path: str) -> str:
    """Return code that reads the raw rows of a file."""
    function = "read" if facts.kind == "csv" or facts.is_prepared else "pd.read_parquet"
    return f"{function}({path})"


def _convert_columns(facts: DataFacts, name: str, kind: str) -> list[str]:
    """Turn dates into numbers, and a table without text into an array of a type, if one is given."""
    lines = [f"{name} = split_dates({name}, np.sin, np.cos)"] if facts.dates else []
    if kind and not facts.has(DataTrait.TEXT):
        lines.append(f'{name} = {name}.to_numpy("{kind}")')
    return lines


def _function_name(facts: DataFacts) -> str:
    return OwnFunction.of(f"python:{facts.name}").name


def _read_roles(facts: DataFacts, table: str) -> list[str]:
    """Read the columns that rows are split and weighted by."""
    lines = []
    others = facts.table.others
    if facts.split_by:
        column = conversion(facts, others.get(facts.split_by), f"{table}[{literal(facts.split_by)}]")
        lines.append(f"groups = pd.factorize({column})[0]")
    if facts.order_by:
        column, reading = f"{table}[{literal(facts.order_by)}]", others.get(facts.order_by)
        is_found = reading is not None and reading.kind == "date"
        dates = call("moments = pd.to_datetime", *date_call(facts, reading if is_found else None, column))
        lines.append(dates if facts.has(DataTrait.DATED) else f"moments = {conversion(facts, reading, column)}")
    if facts.sample_weight:
        column = conversion(facts, others.get(facts.sample_weight), f"{table}[{literal(facts.sample_weight)}]")
        lines.append(f'weights = {column}.to_numpy("float64")')
    return lines


def _read_keras(facts: DataFacts) -> list[str]:
    return [
        f"(x, y), (x_test, y_test) = keras.datasets.{facts.name}.load_data()",
        *_shape(facts, "x"),
        f"x, y = x{_row_conversion(facts)}, y.ravel()",
        f"x_test, y_test = x_test{_row_conversion(facts)}, y_test.ravel()",
    ]


def _read_function(facts: DataFacts) -> list[str]:
    """Call the user's function, which may return arrays, lists or tables."""
    has_test = facts.has(DataTrait.OWN_TEST)
    targets = "(x, y), (x_test, y_test)" if has_test else "x, y"
    lines = [f"{targets} = {_function_name(facts)}()", *_target(facts, _target_array(facts, "y"))]
    if has_test:
        lines.append(_test_target(facts, _target_array(facts, "y_test")))
    for name in ["x", "x_test"] if has_test else ["x"]:
        lines += _convert_rows(facts, name)
    return lines


def _target_array(facts: DataFacts, name: str) -> str:
    """Return a target of any kind as an array."""
    series = f"pd.Series({name})"
    converted = conversion(facts, facts.target_column, series)
    name = name if converted == series else converted
    kind = ""
    if facts.task is Task.REGRESSION:
        kind = ', dtype="float64"'
    elif facts.has(DataTrait.TEXT_TARGET):
        kind = ", dtype=str"
    return f"np.asarray({name}{kind}){'.ravel()' if facts.has(DataTrait.COLUMN_TARGET) else ''}"


def _convert_rows(facts: DataFacts, name: str) -> list[str]:
    """Convert rows to a table if there is text or a column to split or weight by, else to an array."""
    if facts.has(DataTrait.TEXT) or facts.set_apart or facts.is_cleaned:
        return [f"{name} = {_frame(facts, name)}", *_convert_table(facts, name)]
    is_frame = facts.has(DataTrait.FRAME)
    is_single = facts.is_raw or (facts.has(DataTrait.CAST) and not is_frame)
    kind = ', dtype="float64"' if is_frame and not is_single else ""
    flat = f".reshape(-1, {facts.n_features})" if facts.has(DataTrait.RESHAPED) else ""
    single = '.astype("float32")' if is_single else ""
    converted = f"{name} = np.asarray({name}{kind}){flat}{single}"
    described = [*_named_columns(facts), *_shape(facts, name)] if name == "x" else []
    return [*described, converted]


def _convert_table(facts: DataFacts, name: str) -> list[str]:
    """Read the cells of a table, and leave the columns that are learned from."""
    return [
        *([f"{name} = clean({name})"] if facts.is_prepared else []),
        *_read_roles(facts, name),
        *_drop_set_apart(facts, name),
        *(["columns = list(x)"] if name == "x" else []),
        *_convert_columns(facts, name, "float32" if facts.is_raw else "float64"),
    ]


def _drop_set_apart(facts: DataFacts, name: str) -> list[str]:
    """Drop the columns that are not learned from."""
    if not facts.set_apart:
        return []
    return [f"{name} = {name}.drop(columns=[{', '.join(map(literal, facts.set_apart))}])"]


def _named_columns(facts: DataFacts) -> list[str]:
    """Name the columns of raw rows that become an array at once."""
    if not facts.has(DataTrait.FRAME):
        return []
    return [list_assignment("columns", [literal(facts.input_name(name)) for name in facts.columns])]


def _shape(facts: DataFacts, rows: str) -> list[str]:
    """Keep the shape of a raw row that becomes another one."""
    is_kept = facts.has(DataTrait.RESHAPED) and not facts.has(DataTrait.FRAME)
    return [f"shape = np.shape({rows})[1:]  # of a raw row"] if is_kept else []


def _drop_columns(columns: list[str]) -> list[str]:
    line = f"x = data.drop(columns=[{', '.join(columns)}])"
    if len(line) <= room():
        return [line]
    return [list_assignment("left_out", columns), "x = data.drop(columns=left_out)"]


def _read_npz(facts: DataFacts) -> list[str]:
    is_own = facts.kind == "python"
    first, *others = ("_train", "_test") if facts.has(DataTrait.OWN_TEST) else ("",)
    return [
        f"data = {f'{_function_name(facts)}()' if is_own else f'np.load({_file_path(facts.file)})'}",
        *_rows_of_key(facts, "x", f'data["x{first}"]'),
        *_target(facts, f'data["y{first}"]{_target_conversion(facts)}'),
        *(line for ending in others for line in _rows_of_key(facts, "x_test", f'data["x{ending}"]')),
        *(_test_target(facts, f'data["y{ending}"]{_target_conversion(facts)}') for ending in others),
    ]


def _rows_of_key(facts: DataFacts, name: str, value: str) -> list[str]:
    """Take rows out of a file of arrays, or of the dictionary that the user's function returned."""
    if facts.has(DataTrait.FRAME) and facts.kind == "python":
        return [f"{name} = {value}", *_convert_rows(facts, name)]
    described = [*_named_columns(facts), *_shape(facts, value)] if name == "x" else []
    return [*described, f"{name} = {value}{_row_conversion(facts)}"]


def _file_path(name: str) -> str:
    return f"Path({literal(name)}).expanduser()" if name.startswith("~") else literal(name)


def _row_conversion(facts: DataFacts) -> str:
    """Flatten each row, and compute in 32 bits if these hold every number exactly."""
    flat = f".reshape(-1, {facts.n_features})" if facts.has(DataTrait.RESHAPED) else ""
    is_single = facts.is_raw or facts.has(DataTrait.CAST)
    return flat + ('.astype("float32")' if is_single and not facts.has(DataTrait.FRAME) else "")


def _target_conversion(facts: DataFacts) -> str:
    flat = ".ravel()" if facts.has(DataTrait.COLUMN_TARGET) else ""
    return flat + ('.astype("float64")' if facts.task is Task.REGRESSION else "")


def _target(facts: DataFacts, raw: str) -> list[str]:
    if facts.needs_class_indices:
        return [call("classes, y = np.unique", raw, "return_inverse=True")]
    return [f"y = {raw}"]


def _test_target(facts: DataFacts, raw: str) -> str:
    return f"y_test = np.searchsorted(classes, {raw})" if facts.needs_class_indices else f"y_test = {raw}"


def _read_pickle(facts: DataFacts) -> list[str]:
    return [
        f'x, y = pd.read_pickle("{facts.file}")',
        *_target(facts, _target_array(facts, "y")),
        *_convert_table(facts, "x"),
    ]


def _prepare_columns(facts: DataFacts) -> str:
    """Tell text columns from number columns, and convert all text to strings."""
    if not facts.has(DataTrait.TEXT):
        return ""
    words = _text_conversion(facts)
    why = "# Missing text is a category of its own." if facts.has(DataTrait.MISSING_TEXT) else ""
    if facts.has(DataTrait.ONLY_TEXT):
        lines = [why, f"x = x{words}" if words else ""]
    else:
        lines = [
            "# Numbers and text are encoded separately; each distinct text becomes a 0/1 column.",
            why,
            'numbers = list(x.select_dtypes(["number", "bool"]))',
            "text = [name for name in x if name not in numbers]",
            'x[numbers] = x[numbers].astype("float64")' if _needs_cast(facts) else "",
            f"x[text] = x[text]{words}" if words else "",
        ]
    return "\n".join(line for line in lines if line)


def _needs_cast(facts: DataFacts) -> bool:
    """Return whether the numbers of a table must be cast for scikit-learn to compute in 64 bits."""
    return facts.has(DataTrait.CAST) or (facts.scale == "none" and not facts.has(DataTrait.MISSING_NUMBERS))


def _text_conversion(facts: DataFacts) -> str:
    """Return the code that makes text columns hold strings only."""
    gap = literal(facts.table.gap)
    if facts.has(DataTrait.MIXED_TEXT):
        return f".astype(object).fillna({gap}).astype(str)" if facts.has(DataTrait.MISSING_TEXT) else ".astype(str)"
    return f".fillna({gap})" if facts.has(DataTrait.MISSING_TEXT) else ""


def _encode(facts: DataFacts) -> str:
    if facts.is_raw:
        return ""
    name, setup = _encoder(facts)
    lines = [
        "# Fitted to the training rows only, so that the other rows stay unseen.",
        *setup,
        f"x_train = {name}.fit_transform(x_train)",
    ]
    return "\n".join(lines + [f"x_{part} = {name}.transform(x_{part})" for part in facts.parts[1:]])


def _encoder(facts: DataFacts) -> tuple[str, list[str]]:
    """Return the name of the transformer of all columns, and the statements that create it."""
    steps = [IMPUTER] if facts.has(DataTrait.MISSING_NUMBERS) else []
    steps += [SCALERS[facts.scale]] if facts.scale in SCALERS else []
    if facts.has(DataTrait.ONLY_TEXT):
        return "one_hot", _one_hot(facts, "x_train")
    name, lines = _numbers_encoder(steps)
    if not facts.has(DataTrait.TEXT):
        return name, lines
    both = call("encoder = make_column_transformer", f"({name}, numbers)", "(one_hot, text)")
    return "encoder", [*lines, *_one_hot(facts, "text"), both]


def _one_hot(facts: DataFacts, columns: str) -> list[str]:
    """Create the encoder of text columns."""
    options = ['handle_unknown="ignore"', "sparse_output=False"]
    if not facts.is_redrawn:
        return [call("one_hot = OneHotEncoder", *options)]
    texts = f"texts = [sorted({{*x_train[name], *x_val[name]}}) for name in {columns}]"
    return [texts, call("one_hot = OneHotEncoder", "categories=texts", *options)]


def _numbers_encoder(steps: list[str]) -> tuple[str, list[str]]:
    if not steps:
        return '"passthrough"', []
    if len(steps) > 1:
        return "fill_and_scale", [call("fill_and_scale = make_pipeline", *steps)]
    name = "imputer" if steps[0] == IMPUTER else "scaler"
    return name, [f"{name} = {steps[0]}"]


def _standardise(facts: DataFacts) -> str:
    if facts.task is not Task.REGRESSION:
        return ""
    lines = [
        "# The network predicts the target in standard deviations from its mean.",
        "mean, std = y_train.mean(), y_train.std()",
    ]
    return "\n".join(lines + [f"y_{part} = (y_{part} - mean) / std" for part in facts.parts])
