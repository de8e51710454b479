"""Splits of the rows that are not test rows: one for each trial, or one for each fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits
from sklearn.model_selection import GroupShuffleSplit, StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler

from dnnsweep.datasets import Dataset, Draw, Splits, load, load_splits
from dnnsweep.errors import DataError
from dnnsweep.records import Retraining, Suggestion
from dnnsweep.seeds import derive
from dnnsweep.spec import DatasetSpec
from dnnsweep.trainers import Job
from dnnsweep.trainers.groups import group_for
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs


def splits_of(data: tuple[Any, Any], **dataset: Any) -> Splits:
    """Splits of arrays that are not scaled."""
    return load_splits(DatasetSpec.model_validate({"source": "arrays:", "scale": "none", **dataset}), data=data)


def numbered(n: int = 60, n_classes: int = 3) -> tuple[Any, Any]:
    """Rows whose only feature is their number."""
    return np.arange(float(n))[:, None], np.arange(n) % n_classes


def numbers_of(data: Dataset) -> tuple[set[float], set[float]]:
    return set(data.x_train.ravel()), set(data.x_validation.ravel())


def test_the_split_of_a_trial_is_drawn_as_a_plain_scikit_learn_script_does_it() -> None:
    document = {"name": "n", "seed": 3, "dataset": {"source": "sklearn:digits", "seed": 5, "resplit": True}}
    x, y = load_digits(return_X_y=True)
    rest, _, y_rest, _ = train_test_split(x, y, test_size=359, random_state=5, stratify=y)
    seed = derive(3, "split", 7)
    x_train, x_validation, y_train, _ = train_test_split(
        rest, y_rest, test_size=359, random_state=seed, stratify=y_rest
    )
    scaler = StandardScaler().fit(x_train)

    data = load_inputs(Job(document)).data_for(Suggestion(7, {}, 0))

    assert_array_equal(data.x_train, scaler.transform(x_train).astype(np.float32))
    assert_array_equal(data.x_validation, scaler.transform(x_validation).astype(np.float32))
    assert_array_equal(data.y_train, y_train)


def test_test_rows_are_the_same_in_all_trials_and_seen_by_none() -> None:
    plain, splits = load(DatasetSpec(scale="none"), data=numbered()), splits_of(numbered(), resplit=True)
    test = set(plain.x_test.ravel())
    drawn = [splits.of(Draw(seed)) for seed in range(20)]

    assert set(splits.first.x_test.ravel()) == test
    for data in drawn:
        train, validation = numbers_of(data)
        assert not (train | validation) & test
        assert len(train) == len(validation) + 24 == 36
        assert len(train | validation | test) == 60
        assert not len(data.x_test)
    assert len({tuple(sorted(numbers_of(data)[1])) for data in drawn}) == 20


def test_without_splits_of_its_own_a_trial_has_that_of_the_sweep() -> None:
    inputs = load_inputs(Job({"name": "n", "dataset": {"source": "sklearn:iris"}}))
    assert inputs.data_for(Suggestion(7, {}, 0)) is inputs.data is inputs.splits.of(Draw(3))


def test_groups_stay_whole_in_each_trial() -> None:
    x, y = numbered(80)
    group = np.arange(80) // 4
    frame = pd.DataFrame({"x": x[:, 0], "group": group})
    splits = splits_of((frame, y), resplit=True, split={"by": "group"})
    rest = np.sort([*splits.first.x_train.ravel(), *splits.first.x_validation.ravel()]).astype(int)
    splitter = GroupShuffleSplit(n_splits=1, test_size=4, random_state=2)
    train, validation = next(splitter.split(rest, groups=group[rest]))

    data = splits.of(Draw(2))

    assert numbers_of(data) == (set(rest[train]), set(rest[validation]))
    assert not set(group[rest[train]]) & set(group[rest[validation]])


def test_all_trials_have_the_same_columns_whatever_texts_their_training_rows_hold() -> None:
    kind = ["rare" if i == 5 else "ab"[i % 2] for i in range(40)]
    splits = splits_of((pd.DataFrame({"kind": kind}), np.arange(40) % 2), resplit=True, test=0.0)
    drawn = [splits.of(Draw(seed)) for seed in range(12)]

    assert {data.summary.n_features for data in drawn} == {3}
    assert 0 < sum(not data.x_train[:, 2].any() for data in drawn) < 12
    assert all((data.x_validation.sum(axis=1) == 1).all() for data in drawn)


def test_a_split_that_cannot_be_trained_on_is_refused_when_it_is_asked_for() -> None:
    group = np.arange(60) // 6
    labels = np.where(group == 4, "rare", np.where(np.arange(60) % 2, "yes", "no"))
    splits = splits_of(
        (pd.DataFrame({"x": np.arange(60.0), "group": group}), labels),
        resplit=True,
        split={"by": "group"},
        test=0.0,
        seed=1,
    )
    refused = 0
    for seed in range(12):
        try:
            splits.of(Draw(seed))
        except DataError as error:
            refused += "rare" in str(error)
    assert 0 < refused < 12


def test_numbers_to_predict_are_standardised_by_the_training_rows_of_each_trial() -> None:
    splits = splits_of((np.arange(40.0)[:, None], np.arange(40.0) ** 2), resplit=True)
    for seed in range(3):
        data = splits.of(Draw(seed))
        raw = data.x_train[:, 0].astype(np.float64) ** 2
        assert (data.target_mean, data.target_std) == (raw.mean(), raw.std())
        assert data.y_train == pytest.approx((raw - raw.mean()) / raw.std(), rel=1e-6)


def test_folds_are_those_of_scikit_learn_and_each_row_validates_once() -> None:
    splits = splits_of(numbered(), folds=4, seed=2)
    rest = np.concatenate([splits.first.x_train.ravel(), splits.first.x_validation.ravel()])
    drawn = [splits.of(Draw(fold=fold)) for fold in range(4)]

    x, y = numbered()
    expected, test = train_test_split(np.arange(60), test_size=12, random_state=2, stratify=y)
    assert set(splits.first.x_test.ravel()) == set(test)
    splitter = StratifiedKFold(4, shuffle=True, random_state=2)
    for data, (train, validation) in zip(drawn, splitter.split(expected, y[expected]), strict=True):
        assert_array_equal(data.x_train[:, 0], x[expected[train], 0])
        assert_array_equal(data.x_validation[:, 0], x[expected[validation], 0])
        assert set(np.bincount(data.y_validation)) == {4}
    assert sorted(np.concatenate([data.x_validation.ravel() for data in drawn])) == sorted(rest)
    assert splits.of(Draw(fold=1)) is drawn[1]
    assert "Each of 48 rows validates in one of 4 folds" in splits.first.summary.notes[-1]


def test_folds_of_numbers_and_of_groups_cover_all_rows_that_are_not_test_rows() -> None:
    x, _ = numbered(50)
    frame = pd.DataFrame({"x": x[:, 0], "group": np.arange(50) // 3})
    for dataset in ({}, {"split": {"by": "group"}}):
        splits = splits_of((frame if dataset else x, np.arange(50.0) ** 2), folds=3, **dataset)
        drawn = [numbers_of(splits.of(Draw(fold=fold))) for fold in range(3)]
        rest = set(range(50)) - set(splits.first.x_test.ravel())
        assert sorted(row for _, validation in drawn for row in validation) == sorted(rest)
        for train, validation in drawn:
            assert train | validation == rest
            if dataset:
                assert not {row // 3 for row in train} & {row // 3 for row in validation}
        most = splits.most_rows
        assert all(len(train) <= most[0] and len(validation) <= most[1] for train, validation in drawn)


def test_a_trial_with_a_split_of_its_own_has_folds_of_its_own() -> None:
    splits = splits_of(numbered(), folds=3, resplit=True)
    one, other = ([numbers_of(splits.of(Draw(seed, fold)))[1] for fold in range(3)] for seed in (1, 2))
    assert set.union(*one) == set.union(*other)
    assert one != other


@pytest.mark.parametrize(
    ("data", "dataset", "message"),
    [
        (
            ([[float(i)] for i in range(30)], ["no"] * 26 + ["yes"] * 4),
            {"folds": 5},
            "dataset.folds: must leave a row of each class",
        ),
        (
            (pd.DataFrame({"x": range(30), "g": np.arange(30) // 10}), np.arange(30.0)),
            {"folds": 5, "split": {"by": "g"}},
            "dataset.split.by: must have at least 6 groups",
        ),
    ],
)
def test_too_many_folds_are_refused(data: tuple[Any, Any], dataset: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        splits_of(data, **dataset)


# ---- repeats in blocks, and on all development rows


def inputs_of(data: tuple[Any, Any], document: dict[str, Any] | None = None, **dataset: Any) -> TrainerInputs:
    dataset = {"source": "arrays:", "scale": "none", **dataset}
    return load_inputs(Job({"name": "n", "seed": 3, "dataset": dataset, **(document or {})}, data=data))


def in_block(block: int, number: int = 0) -> Suggestion:
    return Suggestion(number, {}, 0, block=block)


def test_the_split_of_a_block_is_drawn_as_a_plain_scikit_learn_script_does_it() -> None:
    x, y = numbered()
    rest, _, y_rest, _ = train_test_split(x, y, test_size=12, random_state=0, stratify=y)
    seed = derive(3, "block split", 4)
    x_train, x_validation = train_test_split(rest, test_size=12, random_state=seed, stratify=y_rest)

    data = inputs_of((x, y)).data_for(in_block(4))

    assert_array_equal(data.x_train, x_train)
    assert_array_equal(data.x_validation, x_validation)
    assert set(np.bincount(data.y_validation)) == {4}
    assert not len(data.x_test)


@pytest.mark.parametrize("document", [{}, {"confirm": None}])  # rows are kept, or read again
def test_all_repeats_of_a_block_have_one_split_and_other_blocks_have_others(document: dict[str, Any]) -> None:
    inputs = inputs_of(numbered(), document)
    assert inputs.data_for(in_block(1, 5)) is inputs.data_for(in_block(1, 900))
    splits = {tuple(sorted(inputs.data_for(in_block(block)).x_validation.ravel())) for block in range(10)}
    assert len(splits) == 10
    assert inputs.data_for(Suggestion(5, {}, 0)) is inputs.data


def test_rows_that_changed_since_they_were_read_are_refused() -> None:
    x, y = numbered()
    inputs = inputs_of((x, y), {"confirm": None})
    x[3] = 500
    with pytest.raises(DataError, match="must give the same rows"):
        inputs.data_for(in_block(0))


def test_blocks_of_a_sweep_in_folds_take_one_fold_after_the_other_of_one_partition_after_the_other() -> None:
    inputs = inputs_of(numbered(), folds=4)
    first, second = ([numbers_of(inputs.data_for(in_block(4 * i + r)))[1] for r in range(4)] for i in (0, 1))
    rest = {*inputs.data.x_train.ravel(), *inputs.data.x_validation.ravel()}
    for partition in (first, second):
        assert sorted(row for fold in partition for row in fold) == sorted(rest)
    assert first != second
    assert first[0] != set(inputs.data.x_validation.ravel())
    assert inputs.rows_of(group_for(in_block(0))).most == (36, 12)


def test_groups_stay_whole_in_each_block() -> None:
    group = np.arange(80) // 4
    inputs = inputs_of((pd.DataFrame({"x": np.arange(80.0), "group": group}), numbered(80)[1]), split={"by": "group"})
    for block in range(5):
        train, validation = ({int(row) // 4 for row in part} for part in numbers_of_first(inputs, block))
        assert not train & validation
        assert len(train | validation) == 16
    assert inputs.rows_of(group_for(in_block(0))).most == (63, 63)


def numbers_of_first(inputs: TrainerInputs, block: int) -> tuple[set[float], set[float]]:
    """Return the first feature of the training and of the validation rows."""
    data = inputs.data_for(in_block(block))
    return set(data.x_train[:, 0]), set(data.x_validation[:, 0])


def test_rows_in_order_are_split_alike_in_all_blocks_and_retrained_up_to_the_test_rows() -> None:
    time = np.arange(40.0)[::-1]
    frame = pd.DataFrame({"time": time, "x": time, "kind": ["late" if i < 16 else "early" for i in range(40)]})
    inputs = inputs_of((frame, np.arange(40.0) ** 2), split={"order": "time"})

    data, whole = inputs.data_for(in_block(0)), inputs.data_for(Suggestion(0, {}, 0, retraining=Retraining(1)))

    assert data is inputs.data_for(in_block(7))
    assert numbers_of_first(inputs, 0) == (set(range(24)), set(range(24, 32)))
    assert inputs.data.summary.n_features == 2  # the only word of the training rows beside the number
    assert data.summary.n_features == whole.summary.n_features == 3
    assert sorted(whole.x_train[:, 0]) == list(range(32))
    assert inputs.rows_of(group_for(in_block(0))).most == (24, 8)


def test_a_retraining_is_encoded_by_all_development_rows_and_validates_on_rows_of_the_sweep() -> None:
    x, y = np.arange(40.0)[:, None], np.arange(40.0) ** 2
    inputs = inputs_of((x, y), scale="standard")
    plain = inputs_of((x, y)).data
    rest = np.concatenate([plain.x_train, plain.x_validation]).ravel().astype(int)

    whole = inputs.data_for(Suggestion(0, {}, 0, retraining=Retraining(1)))

    assert_array_equal(
        whole.preprocessing.encoding.numbers.encode(np.sort(x[rest], axis=0)), np.sort(whole.x_train, axis=0)
    )
    assert (whole.x_train.mean(), whole.x_train.std()) == pytest.approx((0, 1), abs=1e-6)
    assert whole.target_std == pytest.approx(y[rest].std())
    of_validation = y[plain.x_validation.ravel().astype(int)]
    assert whole.y_validation * whole.target_std + whole.target_mean == pytest.approx(of_validation, rel=1e-5)
    test = inputs.splits.open_test(whole)
    assert test is not None
    assert_array_equal(test.targets, y[plain.x_test.ravel().astype(int)])
    assert_array_equal(test.x, whole.preprocessing.encoding.numbers.encode(plain.x_test.astype(np.float64)))


def test_all_blocks_have_the_inputs_of_all_words_that_are_not_in_test_rows() -> None:
    kind = ["rare" if i == 5 else "ab"[i % 2] for i in range(40)]
    inputs = inputs_of((pd.DataFrame({"kind": kind}), np.arange(40) % 2), test=0.0)
    drawn = [inputs.data_for(in_block(block)) for block in range(12)]

    assert {data.summary.n_features for data in drawn} == {3}
    assert 0 < sum(not data.x_train[:, 2].any() for data in drawn) < 12
    assert inputs.rows_of(group_for(in_block(0))).data.summary.n_features == 3


def test_encoded_rows_of_recent_blocks_are_kept_as_far_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = inputs_of(numbered())
    monkeypatch.setattr("dnnsweep.datasets.BLOCKS_BYTES", 2 * 48 * 4)
    first, second, third = (inputs.data_for(in_block(block)) for block in range(3))

    assert inputs.data_for(in_block(1)) is second
    assert inputs.data_for(in_block(2)) is third
    again = inputs.data_for(in_block(0))
    assert again is not first
    assert_array_equal(again.x_train, first.x_train)
