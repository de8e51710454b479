"""A user's own function that builds networks: how it is called, and what it must return."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from dnnsweep import user_functions
from dnnsweep.datasets import Dataset
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records import BuilderCall, InputForm, Task
from dnnsweep.space import KNOBS, TRAINING_KNOBS, did_you_mean, yaml_text
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers.structures import symbolic_inputs

PATH: Final = "network.builder"
#: Rows that a network is tried with.
N_TRIED: Final = 8
#: How far from 1 the probabilities of a row may sum.
TOLERANCE: Final = 1e-3
MAX_REASON: Final = 300

_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_ANY: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Builder:
    """Builds the networks of a sweep by the function that its file names.

    The function is called with the hyperparameters that it has parameters for, by name, and with `n_features` and
    `n_outputs` if it asks for them. If its only parameter has another name, it gets one dictionary of all
    hyperparameters.

    Args:
        sweep: Names the function, and what is searched and fixed.
        data: Rows that the networks are for.
        is_confined: Whether the function's file must not be reached by a link that leads elsewhere.

    Raises:
        SpecError: There is no such function, or its parameters do not fit the sweep file.
    """

    def __init__(self, sweep: SweepSpec, data: Dataset, *, is_confined: bool = False) -> None:
        self._name = str(sweep.network.builder)
        self._function = user_functions.load(self._name, PATH, is_confined=is_confined)
        self._data = data
        self._facts = _facts_of(data)
        self._check_parameters(sweep)

    def build(self, params: Mapping[str, Any], seed: int, data: Dataset | None = None) -> keras.Model:
        """Return a new network with its starting weights.

        Args:
            params: The hyperparameters of a trial.
            seed: Seeds all random numbers of the function, as `keras.utils.set_random_seed(seed)` does.
            data: Rows that this network is for, if their inputs may be others than those of the sweep's own split.

        Raises:
            TypeError: The function returned something else than a Keras model.
            ValueError: The model cannot take the data's columns.
        """
        data = self._data if data is None else data
        positional, named = self._arguments(params, _facts_of(data))
        with _seeded(seed):
            network = self._function(*positional, **named)
            if not isinstance(network, keras.Model):
                raise TypeError(f"{self._name} must return a Keras model, got {type(network).__name__}")
            if not network.built:
                network(inputs_of(network, data.x_train[:1]))
        return network

    def try_out(self, params: Mapping[str, Any]) -> keras.Model:
        """Build a network and check that it fits the data.

        Raises:
            SpecError: It cannot be built, or does not give what the task needs.
        """
        try:
            network = self.build(params, 0)
            x = self._data.x_train[:N_TRIED]
            outputs = network(inputs_of(network, x), training=False)
            answers = None if isinstance(outputs, list | tuple | dict) else np.asarray(outputs)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
            raise self._refusal(f"must build a network for {yaml_text(dict(params))}", reason, "correct it") from error
        self._check_answers(answers, len(x))
        return network

    def describe_call(self, network: keras.Model) -> BuilderCall:
        """Return how the function is called, and how a network that it built takes its rows."""
        if self._takes_whole:
            return BuilderCall(None, input_form(network))
        named = self._arguments(dict.fromkeys((*TRAINING_KNOBS, *self._own)), self._facts)[1]
        return BuilderCall(tuple(named), input_form(network))

    def notes(self, network: keras.Model) -> tuple[str, ...]:
        """Return what a person should know about the networks that the function builds, a sentence each."""
        if not network.compiled:
            return ()
        ignored = "the loss, the optimizer and the metrics that it compiles its model with"
        return (f"{self._name}: {ignored} are ignored; those of the sweep file are used.",)

    def _check_answers(self, answers: NDArray[Any] | None, n_rows: int) -> None:
        task, n_outputs = self._data.summary.task, self._data.n_outputs
        last = {
            Task.BINARY: 'Dense(1, activation="sigmoid")',
            Task.MULTICLASS: f'Dense({n_outputs}, activation="softmax")',
            Task.REGRESSION: "Dense(1)",
        }[task]
        remedy = f"end it with {last}"
        if answers is None or answers.shape != (n_rows, n_outputs):
            got = "several outputs" if answers is None else f"shape {answers.shape[1:]}"
            raise self._refusal(f"must return a model with one output of {n_outputs} units", got, remedy)
        if task is not Task.REGRESSION and not _are_probabilities(answers):
            raise self._refusal("must return a model that ends in probabilities", "other numbers", remedy)

    def _refusal(self, rule: str, got: str, remedy: str) -> SpecError:
        return SpecError([Mistake(PATH, f"{self._name} {rule}", got, remedy)])

    def _arguments(self, params: Mapping[str, Any], facts: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        parameters = self._parameters
        if self._takes_whole:
            return (dict(params),), {}
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            named = {name for name, parameter in parameters.items() if parameter.kind in _BY_NAME}
            return (), {**{name: facts[name] for name in facts if name in named}, **params}
        offered = {**facts, **params}
        return (), {name: offered[name] for name in parameters if name in offered}

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self._function).parameters
        except (TypeError, ValueError) as error:
            raise self._refusal("must say its parameters", "none", "write a Python function") from error

    @property
    def _takes_whole(self) -> bool:
        """Return whether the function takes all hyperparameters as one dictionary."""
        required = [name for name, parameter in self._parameters.items() if _is_required(parameter)]
        return len(required) == 1 and required[0] not in {*KNOBS, *self._facts, *self._own}

    def _check_parameters(self, sweep: SweepSpec) -> None:
        self._own = {*sweep.space, *sweep.fixed}
        parameters = self._parameters
        if self._takes_whole:
            return
        mistakes = []
        offered = {*sweep.default_params, *sweep.space, *self._facts}
        for name, parameter in parameters.items():
            if _is_required(parameter) and name not in offered:
                remedy = did_you_mean(name, tuple(offered)) or "add it to space or fixed, or give it a default"
                mistakes.append(Mistake(PATH, f"{self._name} needs {name}", "", remedy))
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            for place, names in {"space": sweep.space, "fixed": sweep.fixed}.items():
                for name in names:
                    if name not in parameters and name not in TRAINING_KNOBS:
                        remedy = did_you_mean(name, tuple(parameters)) or "remove it, or add a parameter of this name"
                        mistakes.append(Mistake(f"{place}.{name}", f"{self._name} does not take it", "", remedy))
        if mistakes:
            raise SpecError(mistakes)


def _facts_of(data: Dataset) -> dict[str, int]:
    """Return what a function may ask for of the rows that its network is for."""
    return {"n_features": data.summary.n_features, "n_outputs": data.n_outputs}


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty and parameter.kind not in _ANY


def _are_probabilities(answers: NDArray[Any]) -> bool:
    is_each = bool(np.all((answers >= 0) & (answers <= 1)))
    return is_each and (answers.shape[1] == 1 or bool(np.allclose(answers.sum(axis=1), 1, atol=TOLERANCE)))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all global generators, and put back those of Python and NumPy, which a caller may be using."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the function may use the global one
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _reshape(x: Any, shape: tuple[int, ...]) -> Any:
    return x.reshape(len(x), *shape)


def inputs_of(network: keras.Model, x: Any, reshape: Callable[[Any, tuple[int, ...]], Any] = _reshape) -> Any:
    """Return rows in the shape that a network takes them in.

    Args:
        network: Network with any number of inputs. In the order of `network.inputs`, each takes as many columns as
            it has numbers.
        x: Rows (rows, features); an array, or something else that `reshape` knows.
        reshape: Gives each row of some rows a shape.

    Returns:
        Array (rows, ...), or a tuple or a dictionary of them as the network has its inputs.

    Raises:
        ValueError: The inputs together take more or fewer columns than there are.
    """
    structure = symbolic_inputs(network)
    if structure is None:
        return x
    leaves = _leaves(network, structure)
    shapes = [tuple(tensor.shape[1:]) for tensor in leaves]
    if any(None in shape for shape in shapes):
        return x
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
    if sum(sizes) != x.shape[1]:
        raise ValueError(f"the network takes {sum(sizes)} numbers of a row {shapes}, but the data have {x.shape[1]}")
    ends = np.cumsum(sizes)
    parts = [reshape(x[:, end - size : end], shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]
    if isinstance(structure, Mapping):
        by_name = {tensor.name: part for tensor, part in zip(leaves, parts, strict=True)}
        return {key: by_name[tensor.name] for key, tensor in structure.items()}
    return tuple(parts) if isinstance(structure, list | tuple) else parts[0]


def input_form(network: keras.Model) -> InputForm:
    """Return how a network takes a row."""
    structure = symbolic_inputs(network)
    if structure is None:
        return InputForm.FLAT
    if isinstance(structure, Mapping):
        return InputForm.NAMED
    shapes = [tuple(tensor.shape[1:]) for tensor in _leaves(network, structure)]
    if len(shapes) != 1:
        return InputForm.SEVERAL
    is_flat = len(shapes[0]) == 1 or None in shapes[0]
    return InputForm.FLAT if is_flat else InputForm.RESHAPED


def _leaves(network: keras.Model, structure: Any) -> list[Any]:
    """Return the symbolic inputs in the order of the network."""
    return list(network.inputs) if isinstance(structure, list | tuple | Mapping) else [structure]
