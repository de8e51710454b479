"""The part of a listing that predicts new rows with the model that it saved."""

from __future__ import annotations

from dnnsweep.exports.column_code import read_function, text_columns, text_option
from dnnsweep.exports.data_code import read_call
from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.date_code import split_dates
from dnnsweep.exports.formatting import INDENT, call, define, indented_code, list_assignment, literal, narrowed
from dnnsweep.records import DataTrait, Task


def blocks(facts: DataFacts, model_file: str) -> list[str]:
    """Return the code that reads and predicts new rows instead of training, block by block.

    Args:
        facts: What is known of the data.
        model_file: Name of the file that the listing saves its model to.
    """
    names = [f"MODEL = {literal(model_file)}"]
    if facts.classes:
        names.append(list_assignment("CLASSES", [literal(label) for label in facts.classes]))
    functions = [read_function(facts), *split_dates(facts), _predict(facts)]
    return ["\n".join(names), define(functions), _main(facts)]


def new_file(facts: DataFacts) -> str:
    """Return an example of the name of a file of new rows."""
    if facts.has(DataTrait.FRAME):
        return "new.parquet" if facts.kind == "parquet" else "new.npz" if facts.kind == "npz" else "new.csv"
    return "new.npz" if facts.kind in ("npz", "arrays") else "new.npy"


def _main(facts: DataFacts) -> str:
    with narrowed(INDENT):
        setup, rows = _new_rows(facts)
    lines = [
        "# Predict new rows with the model that was saved, and train nothing.",
        *setup,
        f"predict({rows}).to_csv(sys.stdout, index=False)",
        "sys.exit()",
    ]
    return 'if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):\n' + indented_code("\n".join(lines))


def _new_rows(facts: DataFacts) -> tuple[list[str], str]:
    """Return code that reads raw rows from the file that the command line names: statements, and the rows."""
    path = "sys.argv[1]"
    if facts.kind in ("csv", "parquet"):
        return [], read_call(facts, path)
    if not facts.has(DataTrait.FRAME):
        return [], f'np.load({path})["x"]' if new_file(facts) == "new.npz" else f"np.load({path})"
    if facts.kind == "npz":
        return [], f'pd.DataFrame(np.load({path})["x"]).rename(columns="x{{}}".format)'
    setup, options = text_option(text_columns(facts))
    table = call("table = pd.read_csv", path, *options)
    return [*setup, table], "clean(table)" if facts.is_prepared else "table"


def _predict(facts: DataFacts) -> str:
    rows = "table" if facts.has(DataTrait.FRAME) else "rows"
    what = "number" if facts.task is Task.REGRESSION else "label and the probability of each class"
    lines = [
        f"def predict({rows}):",
        f'    """Return the predicted {what} for each raw row."""',
        "    model = keras.models.load_model(MODEL)",
        *(_columns(facts) if facts.has(DataTrait.FRAME) else []),
        "    answers = model(rows)",
    ]
    if facts.task is Task.REGRESSION:
        numbers = 'keras.ops.convert_to_numpy(answers["prediction"])'
        return "\n".join([*lines, f"    numbers = {numbers}", '    return pd.DataFrame({"prediction": numbers})'])
    return "\n".join(
        [
            *lines,
            '    probabilities = keras.ops.convert_to_numpy(answers["probabilities"])',
            '    names = [f"probability_{label}" for label in CLASSES]',
            "    predictions = pd.DataFrame(probabilities, columns=names)",
            "    labels = np.array(CLASSES)[probabilities.argmax(axis=1)]",
            '    predictions.insert(0, "prediction", labels)',
            "    return predictions",
        ]
    )


def _columns(facts: DataFacts) -> list[str]:
    """Take the columns that the model asks for out of a table."""
    if not facts.has(DataTrait.TEXT):
        return ['    rows = {name: table[name].astype("float64").to_numpy() for name in model.input}']
    stripped = ".str.strip()" if facts.table.is_named else ""
    text = ["cells = table[name].astype(object)", f'rows[name] = cells.fillna("").map(str){stripped}.to_numpy(object)']
    if facts.has(DataTrait.ONLY_TEXT):
        return ["    rows = {}", "    for name in model.input:", *(f"        {line}" for line in text)]
    return [
        "    rows = {}",
        "    for name, tensor in model.input.items():",
        '        if tensor.dtype == "string":',
        *(f"            {line}" for line in text),
        "        else:",
        '            rows[name] = table[name].astype("float64").to_numpy()',
    ]
