from __future__ import annotations

import copy
import json
import math
import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sweep_files
from effort import MAX_CALLS, n_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnsweep.errors import SpecError
from dnnsweep.records import Objective, Task
from dnnsweep.space import (
    MAX_BRANCHES,
    MAX_CASES,
    Branch,
    Choice,
    Conditional,
    Hyperparameters,
    Layers,
    Range,
    active_domain,
)
from dnnsweep.spec import (
    DEFAULT_SPACE,
    HANDED_OVER,
    METRICS,
    DatasetSpec,
    PlateauSpec,
    SweepSpec,
    check,
    check_task,
    difference,
    documents,
    json_schema,
    load,
    search_notes,
)

EXAMPLE = """\
name: digits                       # letters, digits, - and _; unique in a ledger
dataset:
  source: sklearn:digits
  target: null                     # csv: the column to predict
  validation: 0.2                  # fractions; stratified for classification
  test: 0.2                        # held out from every choice
  scale: standard                  # standard | minmax | none; fitted on the training rows only
network:
  hidden: [64, 32]
  activation: relu
space:                             # what Optuna samples
  initializer: [glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_normal]
  dropout: {low: 0.0, high: 0.6}
  l2: {low: 1.0e-6, high: 1.0e-1, log: true}
  batch_norm: [true, false]
  optimizer: [sgd, momentum, nesterov, rmsprop, adagrad, adam, adamw, nadam]
  learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}
fixed: {batch_size: 32}            # any knob that is not searched
objective: {metric: val_accuracy, direction: maximize}
training:
  epochs: 50
  early_stopping: {monitor: val_loss, patience: 5, min_delta: 0.0}
budget: {trials: 100, seconds: null}
sampler: {kind: tpe}
pruner: {kind: none}
enqueue:                           # configurations to try first: the baseline you have today
  - {initializer: glorot_uniform, dropout: 0.0, l2: 1.0e-6, batch_norm: false, optimizer: adam, learning_rate: 0.001}
seed: 0
"""

SPACE_PAGE = Path(__file__).parents[1] / "docs" / "space.md"
MINIMAL = "name: a\ndataset: {source: sklearn:digits}\n"

RIGHT_FILES: list[str] = [
    EXAMPLE,
    MINIMAL,
    "name: a\ndataset: {}",
    "name: '1e5'\ndataset: {source: csv:a b.csv, target: y, drop: [id, ssn]}",
    MINIMAL + "budget: {trials: 1e3}\ntraining: {epochs: 20.0}\nseed: 4294967295",
    MINIMAL + "budget: {until: converged, without_improvement: 20}",
    MINIMAL + "training: {early_stopping: null}",
    MINIMAL + "task: regression\nobjective: {metric: val_mae}\ntraining: {early_stopping: {monitor: val_mse}}",
    MINIMAL + "objective: {metric: accuracy}",
    MINIMAL + "space: {hidden: [[64, 32], [64]], activation: [relu, tanh], batch_size: [16, 32]}",
    MINIMAL + "space: {hidden: {values: [[64], []]}}\nfixed: {activation: tanh}",
    MINIMAL + "space: {batch_size: {low: 16, high: 128, step: 16}}\nenqueue: [{batch_size: 48}, {}]",
    MINIMAL + "space: {learning_rate: {low: 0.01, high: 0.01}}",
    MINIMAL + "fixed: {dropout: 0, hidden: []}\nspace: {}",
    MINIMAL + "dataset2: 1".replace("dataset2: 1", "description: >\n  two\n  lines"),
    MINIMAL + f"description: {'a' * 8000}",
    MINIMAL + "training: {reduce_on_plateau: {}}",
    MINIMAL + "training: {reduce_on_plateau: {monitor: val_f1, patience: 0, cooldown: 2.0, min_learning_rate: 9.0e-4}}",
    MINIMAL + "training: {reduce_on_plateau: null}\nfixed: {schedule: reduce_on_plateau}",
    MINIMAL + "training: {reduce_on_plateau: {factor: 0.5}}\nspace: {schedule: [cosine, reduce_on_plateau]}",
    MINIMAL + "resources: {trainers: 2}\nsampler: {kind: random, window: 8}",
    MINIMAL + "space: {hidden: {layers: {low: 1, high: 4}, units: [8, 16]}}\nenqueue: [{hidden: [8, 8, 8]}]",
    MINIMAL + "space: {optimizer: [sgd, adam], l2: {when: {optimizer: sgd}, low: 0, high: 1}}\nfixed: {l2: 2}",
    MINIMAL + "space: {batch_size: {low: 1, high: 9}, l2: [{when: {batch_size: [1, 2]}, values: [1]}, {values: [2]}]}",
    MINIMAL + "space: {batch_norm: [true, false], schedule: [constant, cosine], l2: [{when: {schedule: cosine, "
    "batch_norm: false}, values: [1]}, {when: {batch_norm: true}, values: [2]}]}\nenqueue: [{batch_norm: true, l2: 2}]",
    MINIMAL + "space: {hidden: [{when: {optimizer: sgd}, layers: [1, 2], units: {low: 8, high: 64, log: true}}, "
    "{values: [[8]]}], optimizer: {when: {batch_norm: false}, values: [sgd, adam]}, batch_norm: [true, false]}",
]

# what is added to (or replaces a line of) the smallest file -> the paths that must be named, no others
ACCURACY, SIZE = "{metric: val_accuracy}", "{metric: n_parameters}"
WRONG_FILES: list[tuple[str, list[str]]] = [
    # unknown keys, at each level
    ("budgt: {trials: 5}", ["budgt"]),
    ("1: 2", ["1"]),
    ("true: 2\nnull: 3", ["true", "null"]),
    ("[a]: 3", ["['a']"]),
    ("'a b': 3", ["'a b'"]),
    ("<<: {seed: 1}", ["<<"]),
    ("priority: high", ["priority"]),
    ("tracking: {models: some}", ["tracking.models"]),
    ("tracking: {model: best}", ["tracking.model"]),
    ("dataset: {sorce: csv:a.csv, target: y}", ["dataset.sorce"]),
    ("network: {dropout: 0.5}", ["network.dropout"]),
    ("space: {droput: [0.1]}", ["space.droput"]),
    ("fixed: {droput: 0.1}", ["fixed.droput"]),
    ("space: {dropout: {low: 0, high: 0.5, steps: 5}}", ["space.dropout.steps"]),
    ("objective: {metrc: val_accuracy, direction: maximize}", ["objective.metrc"]),
    ("training: {epoch: 5}", ["training.epoch"]),
    ("training: {early_stopping: {monitr: val_loss}}", ["training.early_stopping.monitr"]),
    ("budget: {trial: 5}", ["budget.trial"]),
    ("sampler: {kind: tpe, seed: 1}", ["sampler.seed"]),
    ("pruner: {knid: none}", ["pruner.knid"]),
    ("resources: {gpus: 1}", ["resources.gpus"]),
    ("space: {l2: [0.1]}\nenqueue: [{l3: 0.1}]", ["enqueue.0.l3"]),
    # keys given twice, at each level
    ("name: b", ["name"]),
    ("seed: 1\nseed: 1", ["seed"]),
    ("training: {epochs: 1, epochs: 2}", ["training.epochs"]),
    ("training: {early_stopping: {patience: 1, patience: 2}}", ["training.early_stopping.patience"]),
    ("space: {l2: [0.1], l2: [0.2]}", ["space.l2"]),
    ("space: {l2: {low: 0, high: 1, high: 2}}", ["space.l2.high"]),
    ("fixed: {l2: 0, l2: 0}", ["fixed.l2"]),
    ("space: {l2: [0, 1]}\nenqueue: [{l2: 0}, {l2: 0, l2: 1}]", ["enqueue.1.l2"]),
    # missing
    ("name:", ["name"]),
    # wrong types
    ("name: 5", ["name"]),
    ("name: [a]", ["name"]),
    ("description: 5", ["description"]),
    (f"description: {'a' * 8001}", ["description"]),
    ("seed: '5'", ["seed"]),
    ("seed: 1.5", ["seed"]),
    ("seed: true", ["seed"]),
    ("seed: null", ["seed"]),
    ("seed: 1_000", ["seed"]),
    ("budget: {trials: true}", ["budget.trials"]),
    ("budget: {seconds: '60'}", ["budget.seconds"]),
    ("budget: {seconds: true}", ["budget.seconds"]),
    ("training: {epochs: ten}", ["training.epochs"]),
    ("training: {early_stopping: true}", ["training.early_stopping"]),
    ("training: {early_stopping: {patience: 1.5, min_delta: '0'}}",
     ["training.early_stopping.patience", "training.early_stopping.min_delta"]),
    ("network: {hidden: 64}", ["network.hidden"]),
    ("network: {hidden: [64, '32'], activation: null}", ["network.hidden", "network.activation"]),
    ("dataset: {source: 5}", ["dataset.source"]),
    ("dataset: {source: csv:a.csv, target: 3}", ["dataset.target"]),
    ("dataset: {source: csv:a.csv, target: y, drop: id}", ["dataset.drop"]),
    ("dataset: {source: csv:a.csv, target: y, drop: [id, 3]}", ["dataset.drop.1"]),
    ("dataset: {validation: '0.2'}", ["dataset.validation"]),
    ("fixed: {batch_norm: yes}", ["fixed.batch_norm"]),
    ("fixed: {dropout: '0.1', batch_size: true, l2: [0]}", ["fixed.dropout", "fixed.batch_size", "fixed.l2"]),
    # null sections, and sections of another kind
    ("dataset:", ["dataset"]),
    ("network:", ["network"]),
    ("space:", ["space"]),
    ("fixed:", ["fixed"]),
    ("objective:\ntraining:\nbudget:", ["objective", "training", "budget"]),
    ("sampler:\npruner:\nresources:", ["sampler", "pruner", "resources"]),
    ("enqueue:", ["enqueue"]),
    ("dataset: 5", ["dataset"]),
    ("space: [dropout]", ["space"]),
    ("sampler: [tpe]", ["sampler"]),
    ("enqueue: {l2: 0.1}", ["enqueue"]),
    ("space: {l2: [0.1]}\nenqueue: [0.1, null, [l2]]", ["enqueue.0", "enqueue.1", "enqueue.2"]),
    # not finite, huge
    ("budget: {seconds: .inf}", ["budget.seconds"]),
    ("budget: {seconds: .nan, trials: .inf}", ["budget.seconds", "budget.trials"]),
    ("dataset: {test: .nan}", ["dataset.test"]),
    ("fixed: {l2: .nan}", ["fixed.l2"]),
    ("space: {l2: [0.1, .inf]}", ["space.l2.1"]),
    ("space: {l2: {low: 0, high: 1e999}}", ["space.l2.high"]),
    ("seed: 4294967296", ["seed"]),
    ("seed: -1", ["seed"]),
    (f"seed: {'9' * 900}", ["seed"]),
    (f"seed: {'9' * 5000}", ["seed"]),
    (f"fixed: {{l2: {'9' * 900}}}", ["fixed.l2"]),
    ("training: {epochs: 1e300}", ["training.epochs"]),
    # out of range
    ("name: ''", ["name"]),
    ("name: 'a b'", ["name"]),
    ("name: \u00fcbung", ["name"]),
    ('name: "a\\n"', ["name"]),
    (f"name: {'a' * 101}", ["name"]),
    ("budget: {trials: 0, seconds: 0}", ["budget.trials", "budget.seconds"]),
    ("training: {epochs: 0, early_stopping: {patience: -1, min_delta: -0.1}}",
     ["training.epochs", "training.early_stopping.patience", "training.early_stopping.min_delta"]),
    ("sampler: {window: 0}\nresources: {trainers: 0}", ["sampler.window", "resources.trainers"]),
    ("network: {hidden: [64, 0]}", ["network.hidden"]),
    ("fixed: {dropout: 1.0, learning_rate: 0}", ["fixed.dropout", "fixed.learning_rate"]),
    # fractions
    ("dataset: {validation: 0}", ["dataset.validation"]),
    ("dataset: {validation: 1.0}", ["dataset.validation"]),
    ("dataset: {test: -0.1}", ["dataset.test"]),
    ("dataset: {test: 20}", ["dataset.test"]),
    ("dataset: {validation: 0.5, test: 0.5}", ["dataset.validation"]),
    # domains
    ("space: {dropout: {low: 0.9, high: 0.1}}", ["space.dropout"]),
    ("space: {dropout: {low: 0, high: 0.5, log: true}}", ["space.dropout.low"]),
    ("space: {learning_rate: {low: 0, high: 0.1, log: true}}", ["space.learning_rate.low"]),
    ("space: {dropout: {low: 0.1}}", ["space.dropout.high"]),
    ("space: {dropout: {low: 0.1, high: 0.5, step: 1}}", ["space.dropout.step"]),
    ("space: {dropout: {low: 0.0, high: 0.6, step: 0.25}}", ["space.dropout.high"]),
    ("space: {dropout: 0.5}", ["space.dropout"]),
    ("space: {optimizer: [adam, adam]}", ["space.optimizer"]),
    ("space: {optimizer: [adam, sdg]}", ["space.optimizer.1"]),
    ("space: {hidden: [64, 32]}", ["space.hidden"]),
    ("space: {hidden: {values: [[64], [a]]}}", ["space.hidden.values.1"]),
    # kinds that do not exist
    ("sampler: {kind: grids}", ["sampler.kind"]),
    ("sampler: {kind: grid}\nspace: {dropout: {low: 0, high: 0.5}}", ["space.dropout"]),
    (
        "sampler: {kind: grid}\nspace: {l2: {low: 0, high: 1, steps: 2000}, dropout: {low: 0, high: 0.5, steps: 2000}}",
        ["space"],
    ),
    ("sampler: {kind: grid}\nspace: {batch_norm: [true, false]}\nenqueue: [{batch_norm: true}]", ["enqueue"]),
    ("sampler: {kind: cmaes}\nspace: {batch_norm: [true, false]}", ["sampler.kind"]),
    ("sampler: {kind: gp}", ["sampler.kind"]),
    ("budget: {target: high}", ["budget.target"]),
    ("budget: {until: convergence}", ["budget.until"]),
    ("budget: {until: 0.95}", ["budget.until"]),
    ("budget: {without_improvement: 0}", ["budget.without_improvement"]),
    ("budget: {without_improvement: 2.5}", ["budget.without_improvement"]),
    # objectives
    (f"objective: [{ACCURACY}, {SIZE}, {{metric: loss}}]", ["objective"]),
    ("objective: []", ["objective"]),
    ("objective: [{metric: val_accuracy}, 3]", ["objective.1"]),
    ("objective: [{metric: val_acc}, {metrik: n_parameters}]", ["objective.1.metrik", "objective.0.metric"]),
    ("objective: [{direction: up}, {metric: auc}]", ["objective.0.direction", "objective.1.metric"]),
    (f"objective: [{ACCURACY}, {{metric: n_parameters, direction: maximize}}]", ["objective.1.direction"]),
    (f"objective: [{ACCURACY}, {ACCURACY}]", ["objective.1.metric"]),
    (f"objective: [{ACCURACY}, {SIZE}]\ntask: regression", ["objective.0.metric"]),
    (f"objective: [{ACCURACY}, {SIZE}]\npruner: {{kind: median}}", ["pruner.kind"]),
    ("objective: {metric: n_parameters}\npruner: {kind: asha}", ["pruner.kind"]),
    (f"objective: [{ACCURACY}, {SIZE}]\nbudget: {{target: 0.9}}", ["budget.target"]),
    (
        f"objective: [{ACCURACY}, {SIZE}]\nbudget: {{until: converged, without_improvement: 9}}",
        ["budget.until", "budget.without_improvement"],
    ),
    (
        f"objective: [{ACCURACY}, {SIZE}]\nsampler: {{kind: cmaes}}\nspace: {{dropout: {{low: 0, high: 0.5}}}}",
        ["sampler.kind"],
    ),
    ("sampler: {population: 10}", ["sampler.population"]),
    ("sampler: {kind: nsga2, population: 1}", ["sampler.population"]),
    ("training: {early_stopping: {monitor: n_parameters}}", ["training.early_stopping.monitor"]),
    ("training: {metrics: [n_parameters]}", ["training.metrics.0"]),
    ("training: {epochs: 5, early_stopping: {start_from_epoch: 5}}", ["training.early_stopping.start_from_epoch"]),
    ("training: {early_stopping: {start_from_epoch: -1}}", ["training.early_stopping.start_from_epoch"]),
    ("training: {reduce_on_plateau: 0.1}", ["training.reduce_on_plateau"]),
    ("training: {reduce_on_plateau: {factor: 0}}", ["training.reduce_on_plateau.factor"]),
    ("training: {reduce_on_plateau: {factor: 1.0, min_lr: 0.1}}",
     ["training.reduce_on_plateau.factor", "training.reduce_on_plateau.min_lr"]),
    ("training: {reduce_on_plateau: {patience: -1, cooldown: 1.5, min_delta: -0.1}}",
     [f"training.reduce_on_plateau.{key}" for key in ("patience", "cooldown", "min_delta")]),
    ("training: {reduce_on_plateau: {min_learning_rate: 1.0e-3}}\nspace: {}",
     ["training.reduce_on_plateau.min_learning_rate"]),
    ("training: {reduce_on_plateau: {min_learning_rate: 0.2}}\nspace: {learning_rate: {low: 0.1, high: 0.2}}",
     ["training.reduce_on_plateau.min_learning_rate"]),
    ("training: {reduce_on_plateau: {min_learning_rate: 0.2}}\nspace: {learning_rate: [0.1, 0.05]}",
     ["training.reduce_on_plateau.min_learning_rate"]),
    ("training: {reduce_on_plateau: {monitor: val_f2}}", ["training.reduce_on_plateau.monitor"]),
    ("training: {reduce_on_plateau: {monitor: val_auc}}\ntask: regression", ["training.reduce_on_plateau.monitor"]),
    ("training: {reduce_on_plateau: {}}\nfixed: {schedule: cosine}", ["training.reduce_on_plateau"]),
    ("training: {reduce_on_plateau: {}}\nspace: {schedule: [constant, cosine]}", ["training.reduce_on_plateau"]),
    ("fixed: {schedule: plateau}", ["fixed.schedule"]),
    ("objective: {metric: auc}", ["objective.metric"]),
    ("training: {metrics: [val_f2]}", ["training.metrics.0"]),
    ("training: {metrics: [val_r2]}\ntask: binary", ["training.metrics.0"]),
    ("training: {metrics: [val_auc, val_f1]}\ntask: regression", ["training.metrics.0", "training.metrics.1"]),
    ("training: {metrics: val_auc}", ["training.metrics"]),
    ("pruner: {kind: medain}", ["pruner.kind"]),
    ("pruner: [median]", ["pruner"]),
    ("pruner: {n_startup_trials: 5}", ["pruner.n_startup_trials"]),
    ("pruner: {kind: median, patience: 3, min_resource: 2}", ["pruner.min_resource", "pruner.patience"]),
    ("pruner: {kind: median, n_warmup_steps: -1}", ["pruner.n_warmup_steps"]),
    ("pruner: {kind: asha, reduction_factor: 1}", ["pruner.reduction_factor"]),
    ("pruner: {kind: asha, min_early_stopping_rate: 1000000000}", ["pruner.min_early_stopping_rate"]),
    ("training: {epochs: 9}\npruner: {kind: asha, min_early_stopping_rate: 2}", ["pruner.min_early_stopping_rate"]),
    ("pruner: {kind: asha, min_resource: auto}", ["pruner.min_resource"]),
    ("pruner: {kind: hyperband, min_resource: 9, max_resource: 3}", ["pruner.min_resource"]),
    ("training: {epochs: 5}\npruner: {kind: hyperband, max_resource: 9}", ["pruner.max_resource"]),
    ("pruner: {kind: patient, wrapped: {kind: patient}}", ["pruner.wrapped.kind"]),
    ("pruner: {kind: patient, wrapped: {kind: asha, patience: 1}}", ["pruner.wrapped.patience"]),
    ("pruner: {kind: patient, wrapped: [median]}", ["pruner.wrapped"]),
    ("pruner: {kind: patient, wrapped: {knid: asha}}", ["pruner.wrapped.knid"]),
    ("task: classification", ["task"]),
    ("dataset: {scale: robust}", ["dataset.scale"]),
    ("dataset: {source: sklearn:mnist}", ["dataset.source"]),
    ("dataset: {source: keras:imdb}", ["dataset.source"]),
    ("dataset: {source: digits}", ["dataset.source"]),
    ("dataset: {source: 'python:a'}", ["dataset.source"]),
    ("dataset: {source: 'parquet:'}", ["dataset.source", "dataset.target"]),
    ("dataset: {source: 'csv:a.csv', target: y, split: {}}", ["dataset.split"]),
    ("dataset: {source: 'csv:a.csv', target: y, split: {by: a, order: b}}", ["dataset.split"]),
    ("dataset: {source: 'csv:a.csv', target: y, split: {by: 3}}", ["dataset.split.by"]),
    ("dataset: {source: 'csv:a.csv', target: y, split: by}", ["dataset.split"]),
    ("dataset: {source: 'csv:a.csv', target: y, split: {by: y}}", ["dataset.split.by"]),
    ("dataset: {source: 'csv:a.csv', target: y, drop: [a], split: {order: a}}", ["dataset.split.order"]),
    ("dataset: {source: sklearn:digits, split: {by: a}}", ["dataset.split.by"]),
    ("dataset: {source: 'csv:a.csv', target: y, split: {order: a}, resplit: true}", ["dataset.resplit"]),
    ("dataset: {source: sklearn:digits, resplit: 1}", ["dataset.resplit"]),
    ("dataset: {source: 'csv:a.csv', target: y, split: {order: a}, folds: 5}", ["dataset.folds"]),
    ("dataset: {source: sklearn:digits, folds: 1}", ["dataset.folds"]),
    ("dataset: {source: sklearn:digits, folds: 2.5}", ["dataset.folds"]),
    ("dataset: {source: sklearn:digits, folds: 5, validation: 0.1}", ["dataset.validation"]),
    ("dataset: {source: sklearn:digits, sample_weight: a}", ["dataset.sample_weight"]),
    ("dataset: {source: sklearn:digits, class_weight: even}", ["dataset.class_weight"]),
    ("dataset: {source: sklearn:digits, class_weight: {'0': 0}}", ["dataset.class_weight.0"]),
    ("dataset: {source: sklearn:digits, class_weight: {'0': two}}", ["dataset.class_weight.0"]),
    ("dataset: {source: sklearn:diabetes, class_weight: balanced}\ntask: regression", ["dataset.class_weight"]),
    ("dataset: {source: ''}", ["dataset.source"]),
    ("dataset: {source: 'npz:'}", ["dataset.source"]),
    ("dataset: {source: 'arrays:x'}", ["dataset.source"]),
    # conditions and layers
    ("space: {dropout: {when: {}, low: 0, high: 0.5}}", ["space.dropout.when"]),
    ("space: {dropout: {when: adam, low: 0, high: 0.5}}", ["space.dropout.when"]),
    ("space: {dropout: {when: {optimizer: adam}, low: 0, high: 0.5}}", ["space.dropout.when.optimizer"]),
    ("space: {batch_norm: [true, false], dropout: {when: {btach_norm: true}, low: 0, high: 0.5}}",
     ["space.dropout.when.btach_norm"]),
    ("space: {dropout: {when: {dropout: 0}, low: 0, high: 0.5}}", ["space.dropout.when.dropout"]),
    ("space: {optimizer: [sgd, adam], l2: {when: {optimizer: adm}, values: [0, 1]}}", ["space.l2.when.optimizer"]),
    ("space: {optimizer: [sgd, adam], l2: {when: {optimizer: [sgd, sgd]}, values: [0, 1]}}",
     ["space.l2.when.optimizer"]),
    ("space: {optimizer: [sgd, adam], l2: {when: {optimizer: []}, values: [0, 1]}}", ["space.l2.when.optimizer"]),
    ("space: {optimizer: [sgd, adam], l2: {when: {optimizer: nadam}, values: [0, 1]}}", ["space.l2.when.optimizer"]),
    ("space: {optimizer: [sgd, adam], l2: {when: {optimizer: [sgd, adam]}, values: [0, 1]}}",
     ["space.l2.when.optimizer"]),
    ("space: {batch_size: {low: 1, high: 4}, l2: {when: {batch_size: [1, 5]}, values: [0, 1]}}",
     ["space.l2.when.batch_size"]),
    ("space: {dropout: {low: 0, high: 0.5}, l2: {when: {dropout: 0}, values: [0, 1]}}", ["space.l2.when.dropout"]),
    ("space: {hidden: [[8], [16]], l2: {when: {hidden: [8]}, values: [0, 1]}}", ["space.l2.when.hidden"]),
    ("space: {optimizer: [sgd, adam], l2: [0.5, {when: {optimizer: sgd}, values: [0, 1]}]}", ["space.l2.0"]),
    ("space: {l2: [{low: 0, high: 1}]}", ["space.l2.0"]),
    ("space: {optimizer: [sgd, adam], l2: [{low: 0, high: 1}, {when: {optimizer: sgd}, values: [0, 1]}]}",
     ["space.l2.0"]),
    (("space: {optimizer: [sgd, adam], l2: [{when: {optimizer: sgd}, values: [0]}, "
     "{when: {optimizer: sgd}, values: [1]}]}"), ["space.l2.1"]),
    (("space: {optimizer: [sgd, adam], l2: [{when: {optimizer: sgd}, values: [0]}, "
     "{when: {optimizer: adam}, values: [1]}, {values: [2]}]}"), ["space.l2.2"]),
    (("space: {optimizer: [sgd, adam], batch_norm: {when: {optimizer: sgd}, values: [true, false]}, "
     "l2: {when: {batch_norm: true, optimizer: adam}, values: [1]}}"), ["space.l2"]),
    (("space: {batch_norm: {when: {optimizer: sgd}, values: [true]}, optimizer: {when: {schedule: cosine}, values: "
     "[sgd]}, schedule: {when: {batch_norm: true}, values: [cosine]}, l2: {when: {schedule: cosine}, values: [1]}}"),
     ["space.schedule"]),
    ("space: {optimizer: [sgd, adam], l2: {when: {optimizer: sgd}, low: 1, high: 0}}", ["space.l2"]),
    ("space: {optimizer: [sgd, adam], l2: [{when: {optimizer: sgd}, low: 1}, {values: [a]}]}",
     ["space.l2.0.high", "space.l2.1.values.0"]),
    ("space: {optimizer: [sgd, adam], l2: [{when: {optimizer: sgd}, values: [1]}, {values: [2]}]}\nfixed: {l2: 3}",
     ["fixed.l2"]),
    ("space: {optimizer: [sgd, adam], hidden: {when: {optimizer: sgd}, values: [[8]]}}\nnetwork: {hidden: [8]}",
     ["space.hidden"]),
    ("network: {builder: 'python:a:b'}\nspace: {depth: [1, 2], size: {when: {depth: 2}, values: [3, 4]}}",
     ["space.size"]),
    (("network: {builder: 'python:a:b'}\nspace: {depth: [1, 2], size: {when: {depth: 2}, values: [3, 4]}}\n"
     "fixed: {size: big}"), ["fixed.size"]),
    (("space: {optimizer: [sgd, adam], l2: {when: {optimizer: sgd}, values: [1, 2]}}\n"
     "enqueue: [{l2: 1}, {optimizer: adam, l2: 1}, {optimizer: sgd, l2: 3}, {optimizer: sgd, l2: 2}]"),
     ["enqueue.0.l2", "enqueue.1.l2", "enqueue.2.l2"]),
    (("space: {optimizer: [sgd, adam], l2: [{when: {optimizer: sgd}, values: [1]}, {values: [2]}]}\n"
     "enqueue: [{optimizer: adam, l2: 1}, {optimizer: adam, l2: 2}]"), ["enqueue.0.l2"]),
    ("space: {hidden: {layers: 2, units: [8]}}", ["space.hidden.layers"]),
    ("space: {hidden: {layers: {low: 0, high: 2}, units: [0]}}", ["space.hidden.layers.low", "space.hidden.units.0"]),
    ("space: {hidden: {layers: [1, 2], width: [8]}}", ["space.hidden.units", "space.hidden.width"]),
    ("space: {hidden: {layers: [1, 2], units: {low: 8, high: 16, steps: 3}}}", ["space.hidden.units.steps"]),
    ("space: {dropout: {layers: [1, 2], units: [8]}}",
     ["space.dropout.layers", "space.dropout.units", "space.dropout.low", "space.dropout.high"]),
    (("space: {hidden: {layers: [1, 2], units: [8, 16]}}\n"
     "enqueue: [{hidden: [8, 16]}, {hidden: []}, {hidden: [8, 8, 8]}, {hidden: [16, 16]}]"),
     ["enqueue.0.hidden", "enqueue.1.hidden", "enqueue.2.hidden"]),
    (("sampler: {kind: grid}\nspace: {batch_size: {low: 16, high: 128, steps: 3}, "
     "l2: {when: {batch_size: 17}, values: [1]}}"), ["space.l2.when.batch_size"]),
    ("sampler: {kind: grid}\nspace: {optimizer: [sgd, adam], l2: {when: {optimizer: sgd}, low: 0, high: 1}}",
     ["space.l2"]),
    ("sampler: {kind: cmaes}\nspace: {optimizer: [sgd, adam], l2: {when: {optimizer: sgd}, low: 0, high: 1}}",
     ["sampler.kind"]),
    # what sections ask of each other
    ("dataset: {source: csv:a.csv}", ["dataset.target"]),
    ("dataset: {source: csv:a.csv, target: ''}", ["dataset.target"]),
    ("dataset: {source: csv:a.csv, target: y, drop: [y]}", ["dataset.drop"]),
    ("dataset: {source: sklearn:digits, target: y, drop: [x]}", ["dataset.target", "dataset.drop"]),
    ("objective: {metric: val_acuracy}", ["objective.metric"]),
    ("objective: {metric: val_accuracy, direction: minimize}", ["objective.direction"]),
    ("objective: {direction: maximize}", ["objective.direction"]),
    ("objective: {direction: up}", ["objective.direction"]),
    ("objective: {metric: 5, direction: maximize}", ["objective.metric"]),
    ("task: regression\nobjective: {metric: val_accuracy}", ["objective.metric"]),
    ("task: binary\nobjective: {metric: val_mse}", ["objective.metric"]),
    ("task: regression\ntraining: {early_stopping: {monitor: val_accuracy}}", ["training.early_stopping.monitor"]),
    ("training: {early_stopping: {monitor: val_los, patience: -1}}",
     ["training.early_stopping.monitor", "training.early_stopping.patience"]),
    ("training: {early_stopping: {monitor: val_los, extra: 1}, epochs: 0}",
     ["training.early_stopping.monitor", "training.early_stopping.extra", "training.epochs"]),
    ("space: {l2: [0.1]}\nfixed: {l2: 0.1}", ["space.l2"]),
    ("network: {hidden: [64]}\nspace: {hidden: [[64]]}", ["space.hidden"]),
    ("network: {activation: relu}\nfixed: {activation: relu}", ["fixed.activation"]),
    ("space: {l2: [0.1]}\nenqueue: [{l2: 0.2}]", ["enqueue.0.l2"]),
    ("space: {l2: {low: 0, high: 1}}\nenqueue: [{l2: 1}, {l2: 1.1}]", ["enqueue.1.l2"]),
    ("space: {batch_size: {low: 16, high: 64, step: 16}}\nenqueue: [{batch_size: 17}]", ["enqueue.0.batch_size"]),
    ("enqueue: [{l2: 0.1}]", ["enqueue.0.l2"]),
    ("fixed: {l2: 0.1}\nenqueue: [{l2: 0.1}]", ["enqueue.0.l2"]),
    ("space: {batch_norm: [true]}\nenqueue: [{batch_norm: false}]", ["enqueue.0.batch_norm"]),
    ("space: {l2: [0.1]}\nenqueue: [{l2: 0.1}, {l2: 0.1}]\nbudget: {trials: 1}", ["enqueue"]),
    # one mistake does not cause another
    ("space: {droput: [0.1]}\nenqueue: [{dropout: 0.1}]", ["space.droput"]),
    ("space: {l2: 5}\nenqueue: [{l2: 5}]", ["space.l2"]),
    ("space: 5\nenqueue: [{l2: 5}]", ["space"]),
    ("dataset: {source: [], target: y}", ["dataset.source"]),
    ("dataset: {validation: 2, test: 0.5}", ["dataset.validation"]),
    ("budget: {trials: x}\nspace: {l2: [0.1]}\nenqueue: [{l2: 0.1}]", ["budget.trials"]),
    ("'a.b': 1\nobjective: {metric: los}", ["a.b", "objective.metric"]),
]  # fmt: skip

# content of the file, what must be said of it
WRONG_TEXTS: list[tuple[bytes, str]] = [
    (b"", "sweep file: must be a mapping of sections, got null"),
    (b"# nothing\n---\n", "sweep file: must be a mapping of sections, got null"),
    (b"- name: a\n", "sweep file: must be a mapping of sections, got [{name: 'a'}]"),
    (b"digits", "sweep file: must be a mapping of sections, got 'digits'"),
    (b"5", "sweep file: must be a mapping of sections, got 5"),
    (b"name: a\n\tdataset: {}", "sweep.yaml line 2"),
    (b"name: a\n---\nname: b", "sweep.yaml line 2: must be plain YAML: a second document"),
    (b"name: &n a\ndescription: *n", "sweep.yaml line 2: must be plain YAML: an alias"),
    (b"name: !!python/object/apply:os.system [id]", "sweep.yaml line 1: must be plain YAML: a tag"),
    (b"name: [a\ndataset: {}", "sweep.yaml line"),
    (b"\x00\x01\x02", "control characters are not allowed"),
    (b"\x89PNG\r\n", "sweep.yaml: must be UTF-8 text"),
    ("name: \u00e9".encode("latin-1"), "sweep.yaml: must be UTF-8 text"),
    ("name: a".encode("utf-16"), "sweep.yaml: must be UTF-8 text"),
    (b"name: " + b"[" * 300, "nested deeper than 20 levels"),
    (b"name: a\n" + b"#" * 1_000_001, "sweep.yaml: must have at most 200000 bytes"),
]

SCHEMA = jsonschema.Draft202012Validator(json_schema())

#: Wrong in content, not in shape: what a JSON Schema cannot know.
_BEYOND_SHAPE = (
    "(the task is",
    "below the highest learning rate",
    "belongs to schedule:",
    "must differ from the first metric",
    "combined with two objectives",
    "for two objectives",
    "which is the same in all epochs",
    "belongs to nsga2",
    "must be maximize",
    "must be minimize",
    "may be set once",
    "low must not exceed",
    "logarithmic",
    "a whole number of steps",
    "distance",
    "must be one of sklearn",
    "known kind of source",
    "belongs to grids",
    "for a grid",
    "combined with a grid",
    "unless some hyperparameter is a range",
    "must be a value of",
    "must leave out some value",
    "must be reached by",
    "branches after it are never reached",
    "in circles",
    "listed values or whole numbers",
    "is never used",
    "none of its conditions holds",
    "beside it",
    "beside space.",
    "needs the package torch",
    "step and steps cannot",
    "must name a file",
    "used with split.order",
    "is what folds decide",
    "must be just arrays:",
    "is missing; name the column",
    "csv and parquet sources only",
    "must be one of keras:",
    "must name a function",
    "belongs to tables with named columns",
    "must be a column of its own",
    "must be one of by: COLUMN",
    "or every epoch is ignored",
    "belongs to classes",
    "it with kind:",
    "must leave a rung within",
    "must not be above",
    "must be median, asha or hyperband",
    "must not contain the target",
    "rows to train on",
    "must be in its domain",
    "hyperparameter that is searched",
    "more configurations than trials",
    "must be given once",
    "finite number",
    r"got 'a\n'",
)


def _document(changes: str) -> str:
    """Put changes after the smallest file, in place of its lines of the same name."""
    sections = [line for line in MINIMAL.splitlines() if not changes.startswith(f"{line.partition(':')[0]}:")]
    if changes == "name: b":
        sections = MINIMAL.splitlines()
    return "\n".join([*sections, changes])


def _mistakes(call: Callable[[], Any]) -> list[Any]:
    with pytest.raises(SpecError) as error:
        call()
    str(error.value).encode()  # can be printed
    return list(error.value.mistakes)


def _paths(call: Callable[[], Any]) -> list[str]:
    return [mistake.path for mistake in _mistakes(call)]


def _read(text: str) -> SweepSpec:
    return check(documents.parse(text, "text"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sweep.yaml"


def test_example_is_right_and_means_what_it_says() -> None:
    spec = _read(EXAMPLE)

    assert (spec.name, spec.task, spec.seed) == ("digits", "auto", 0)
    assert spec.dataset == DatasetSpec(source="sklearn:digits")
    assert list(spec.space) == ["initializer", "dropout", "l2", "batch_norm", "optimizer", "learning_rate"]
    assert spec.defaults == Hyperparameters(batch_size=32, hidden=(64, 32), activation="relu")
    assert spec.objectives[0].direction == "maximize"
    assert spec.training.early_stopping is not None
    assert spec.training.early_stopping.monitor == "val_loss"
    assert (spec.budget.trials, spec.budget.seconds) == (100, None)
    assert (spec.sampler.kind, spec.pruner.kind) == ("tpe", "none")
    assert spec.enqueue[0]["learning_rate"] == 0.001


def test_smallest_file_has_every_default() -> None:
    spec = _read("name: a\ndataset: {}")

    assert spec.dataset.source == HANDED_OVER
    assert spec.defaults == Hyperparameters()
    assert spec.objectives == (Objective("val_loss", "minimize"),)
    assert (list(spec.space), dict(spec.fixed), spec.enqueue) == (list(DEFAULT_SPACE), {}, ())


@pytest.mark.parametrize("text", RIGHT_FILES)
def test_right_file_round_trips(text: str) -> None:
    spec = _read(text)

    assert _read(spec.to_yaml()) == spec
    assert check(json.loads(json.dumps(spec.to_json(), allow_nan=False))) == spec
    assert _read(spec.to_yaml()).digest == spec.digest
    assert _read(spec.to_yaml()).defaults == spec.defaults


@pytest.mark.parametrize("text", RIGHT_FILES)
def test_schema_accepts_right_files(text: str) -> None:
    SCHEMA.validate(documents.parse(text, "text"))
    SCHEMA.validate(_read(text).to_json())


@pytest.mark.parametrize("text", RIGHT_FILES)
def test_spec_can_be_sent_and_copied_but_not_changed(text: str) -> None:
    spec = _read(text)

    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301  our own bytes
    assert copy.deepcopy(spec) == spec
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 1
    with pytest.raises(TypeError):
        spec.fixed["l2"] = 1  # type: ignore[index]


@pytest.mark.parametrize(("changes", "paths"), WRONG_FILES, ids=lambda value: ascii(value)[:50])
def test_wrong_file_is_refused_at_the_places_that_are_wrong(file: Path, changes: str, paths: list[str]) -> None:
    file.write_text(_document(changes), encoding="utf-8")

    mistakes = _mistakes(lambda: load(file))

    assert sorted({mistake.path for mistake in mistakes}) == sorted(paths)
    assert all(len(str(mistake)) < 400 for mistake in mistakes)


@pytest.mark.parametrize(("changes", "paths"), WRONG_FILES, ids=lambda value: ascii(value)[:50])
def test_schema_refuses_files_of_a_wrong_shape(changes: str, paths: list[str]) -> None:
    document, repeated = documents.scan(_document(changes), "text")
    if not repeated:
        mistakes = _mistakes(lambda: check(document))

        is_shape = any(all(word not in str(mistake) for word in _BEYOND_SHAPE) for mistake in mistakes)

        assert paths
        assert SCHEMA.is_valid(document) is not is_shape, mistakes


def test_every_mistake_of_a_file_is_reported_together(file: Path) -> None:
    singles = [item for item in reversed(WRONG_FILES) if "\n" not in item[0] and item[0] != "name: b"]
    chosen = {changes.partition(":")[0]: (changes, paths) for changes, paths in singles}
    file.write_text("\n".join(changes for changes, _ in chosen.values()), encoding="utf-8")

    found = set(_paths(lambda: load(file)))

    assert len(chosen) >= 20
    assert found == {path for _, paths in chosen.values() for path in paths}


def test_mistakes_of_every_kind_come_with_rule_value_and_remedy(file: Path) -> None:
    file.write_text(
        textwrap.dedent("""\
        name: my sweep
        seed: 1
        seed: 2
        dataset: {source: csv:a.csv}
        space: {dropout: {low: 0.9, high: 0.1}}
        objective: {metric: val_acuracy, direction: up}
        training: {epochs: '50', early_stopping: {monitr: val_loss}}
        pruner: {kind: medain}
        sampler: {kind: grids}
        """)
    )

    assert [str(mistake) for mistake in _mistakes(lambda: load(file, ["budget.trials=0"]))] == [
        "seed: must be given once, got it again on line 3; keep one of them",
        "name: must consist of letters, digits, - and _, got 'my sweep'",
        "space.dropout: low must not exceed high, got low=0.9 and high=0.1; exchange them",
        "objective.direction: must be one of 'maximize' or 'minimize', got 'up'",
        "training.epochs: must be a whole number, got '50'; write the number without quotes or underscores",
        "training.early_stopping.monitr: unknown key; did you mean monitor?",
        "budget.trials: must be at least 1, got 0",
        (
            "sampler.kind: must be one of 'tpe', 'random', 'grid', 'qmc', 'cmaes', 'nsga2' or 'gp', got 'grids'; "
            "did you mean grid?"
        ),
        (
            "pruner.kind: must be one of 'none', 'median', 'asha', 'hyperband' or 'patient', got 'medain'; "
            "did you mean median?"
        ),
        "dataset.target: is missing; name the column of the csv file to predict",
        (
            f"objective.metric: must be one of {', '.join(METRICS)}, n_parameters, got 'val_acuracy'; "
            "did you mean val_accuracy?"
        ),
    ]


@pytest.mark.parametrize(("content", "said"), WRONG_TEXTS, ids=lambda value: ascii(value[:30]))
def test_text_that_is_no_sweep_file_is_refused(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)

    assert said in "\n".join(map(str, _mistakes(lambda: load(file))))


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    assert _paths(lambda: load(tmp_path / name)) == [str(tmp_path / name)]


@pytest.mark.parametrize("name", ["name", "dataset"])
def test_required_section_is_missed(name: str) -> None:
    document = {"name": "a", "dataset": {}}
    del document[name]

    assert [str(mistake) for mistake in _mistakes(lambda: check(document))] == [f"{name}: is missing; add it"]


@pytest.mark.parametrize(
    "changes",
    [
        "enqueue:\n" + "- {dropou: 1}\n" * 4_990,
        "enqueue:\n" + "".join(f"- {{dropou{i}: 1}}\n" for i in range(4_990)),
        "enqueue: [" + "0," * 9_990 + "]",
        "space: {l2: [" + "0," * 9_990 + "]}",
        "dataset: {drop: [" + "0," * 9_990 + "]}",
        "".join(f"k{i}: 1\n" for i in range(9_990)),
        "space:\n" + "".join(f"  dropou{i}: 1\n" for i in range(9_990)),
        "a" * 190_000 + ": 1",
        "name: " + "a" * 190_000,
        "seed: " + "9" * 190_000,
        "fixed: {optimizer: " + "adam" * 40_000 + "}",
        "objective: {metric: " + "loss" * 40_000 + "}",
        "dataset: {source: " + "csv" * 40_000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_largest_wrong_file_is_refused_with_little_effort(file: Path, changes: str) -> None:
    file.write_text(_document(changes))

    assert n_calls(lambda: _mistakes(lambda: load(file))) < MAX_CALLS


@pytest.mark.parametrize(
    "value",
    [math.nan, 10**5000, -(10**5000), "\0", "\ud800", b"a", object(), {1, 2}, {(1, 2): 3}, [[[]]], 1j, SweepSpec, ...],
    ids=lambda value: type(value).__name__,
)
def test_no_python_value_is_more_than_a_mistake(value: Any) -> None:
    fields = {
        "": ["name", "description", "task", "seed", "space", "fixed", "enqueue", "dataset", "network", "training"],
        "dataset": ["source", "target", "drop", "validation"],
        "objective": ["metric", "direction"],
        "budget": ["trials", "seconds"],
        "space": ["optimizer", "dropout", "hidden"],
        "fixed": ["optimizer", "dropout", "hidden"],
    }
    base = {"name": "a", "dataset": {}}
    for section, keys in fields.items():
        for key in keys:
            document = {**base, section: {key: value}} if section else {**base, key: value}
            mistakes = _mistakes(partial(check, document))
            assert all(mistake.path.startswith(section or key) for mistake in mistakes)


def test_mapping_written_in_python_is_checked_like_a_file() -> None:
    spec = check({"name": "a", "dataset": {"drop": ()}, "network": {"hidden": (64, 32)}, "enqueue": ()})

    assert spec == _read("name: a\ndataset: {}")


def test_mapping_is_loaded_with_overrides_like_a_file() -> None:
    document = {"name": "a", "space": {"l2": (0, 1)}, "enqueue": ({"l2": 0},), "seed": "x\0"}

    spec = load({**document, "seed": 5}, ["enqueue.0.l2=1", "dataset.source='arrays:'"])

    assert (spec.enqueue[0]["l2"], spec.dataset.source, spec.seed) == (1.0, HANDED_OVER, 5)
    assert _paths(lambda: load(document, ["name.x=1"])) == ["seed", "--set name.x", "dataset", "seed"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["name=b"], {"name": "b"}),
        (["budget.trials=3", "budget.seconds=1.5"], {"budget": {"trials": 3, "seconds": 1.5, "target": None}}),
        (
            ["resources.trainers=2"],
            {"resources": {"trainers": 2, "silence_seconds": 3600.0, "hung_seconds": 60.0}},
        ),
        (
            ["training.early_stopping=null"],
            {"training": {"epochs": 50, "timeout_seconds": None, "early_stopping": None}},
        ),
        (
            ["enqueue.0.dropout=0.5", "enqueue.0.l2=1e-3"],
            {
                "enqueue": [
                    {
                        "initializer": "glorot_uniform",
                        "dropout": 0.5,
                        "l2": 0.001,
                        "batch_norm": False,
                        "optimizer": "adam",
                        "learning_rate": 0.001,
                    }
                ]
            },
        ),
        (
            ["space.dropout={low: 0, high: 0.5, step: 0.1}"],
            {"space.dropout": {"low": 0.0, "high": 0.5, "step": 0.1}},
        ),
        (
            ["space.hidden=[[64, 32], [64]]", "network={activation: tanh}"],
            {"space.hidden": [[64, 32], [64]], "network": {"activation": "tanh"}},
        ),
    ],
)
def test_overrides_are_checked_with_the_file(file: Path, overrides: list[str], expected: dict[str, Any]) -> None:
    file.write_text(EXAMPLE)

    spec = load(file, overrides)

    assert spec == check(documents.override(documents.read(file), overrides))
    assert spec != load(file)
    plain = load(file).to_json()
    for path, value in expected.items():
        section, _, key = path.rpartition(".")
        (plain[section] if section else plain)[key] = value
    assert spec.to_json() == plain


@pytest.mark.parametrize(
    ("overrides", "paths"),
    [
        (["budget.trials=none"], ["budget.trials"]),
        (["space.dropout=0.5"], ["space.dropout"]),
        (["space.dropout={low: 1, low: 2, high: 3}"],
         ["space.dropout.low", "space.dropout.low", "space.dropout.high"]),
        (["enqueue.0.dropout=0.9"], ["enqueue.0.dropout"]),
        (["enqueue.1.dropout=0.9"], ["--set enqueue.1.dropout"]),
        (["trials=3", "name.x=1", "seed"], ["--set name.x", "--set", "trials"]),
    ],
)  # fmt: skip
def test_wrong_overrides_are_reported_with_the_file(file: Path, overrides: list[str], paths: list[str]) -> None:
    file.write_text(EXAMPLE)

    assert _paths(lambda: load(file, overrides)) == paths


@pytest.mark.parametrize(
    ("override", "is_same"),
    [
        ("budget.trials=7", True),
        ("budget.seconds=7", True),
        ("resources.trainers=7", True),
        ("description=seven", True),
        ("training.epochs=50.0", True),
        ("fixed.batch_size=32.0", True),
        ("space.dropout={high: 0.6, low: 0}", True),
        ("training.early_stopping.min_delta=0", True),
        ("name=other", False),
        ("task=multiclass", False),
        ("dataset.source=sklearn:wine", False),
        ("dataset.test=0.1", False),
        ("dataset.seed=1", False),
        ("network.activation=tanh", False),
        ("space.dropout.high=0.5", False),
        ("space.batch_norm=[false, true]", False),
        ("fixed.batch_size=64", False),
        ("objective.metric=accuracy", False),
        ("training.epochs=51", False),
        ("training.early_stopping.patience=4", False),
        ("sampler.kind=random", False),
        ("sampler.window=4", False),
        ("enqueue=[]", False),
        ("seed=1", False),
        ("priority=7", True),
        ("tracking.models=none", True),
    ],
)
def test_identity_ignores_budget_resources_priority_tracking_and_description_only(
    file: Path,
    override: str,
    is_same: bool,
) -> None:
    file.write_text(EXAMPLE)
    one, other = load(file), load(file, [override])

    assert (one.digest == other.digest) is is_same
    assert (one.identity() == other.identity()) is is_same


def test_identity_holds_everything_else() -> None:
    spec = _read(EXAMPLE)

    assert set(spec.to_json()) - set(spec.identity()) == {"budget", "resources", "description"}
    # These stand there only if the file uses them.
    assert set(spec.to_json()) == set(SweepSpec.model_fields) - {"priority", "tracking", "confirm", "effects"}


def test_order_of_keys_does_not_change_the_identity() -> None:
    one = check({"name": "a", "dataset": {}, "space": {"l2": [0.1], "dropout": [0.5]}})
    other = check({"space": {"dropout": [0.5], "l2": [0.1]}, "dataset": {}, "name": "a"})

    assert one.digest == other.digest
    assert list(one.space) == list(other.space)


@pytest.mark.parametrize(
    ("text", "task", "paths"),
    [
        (MINIMAL, Task.REGRESSION, []),
        ("objective: {metric: val_accuracy}", Task.BINARY, []),
        ("objective: {metric: val_accuracy}", Task.REGRESSION, ["objective.metric"]),
        ("objective: {metric: mae}", Task.MULTICLASS, ["objective.metric"]),
        ("training: {early_stopping: {monitor: val_accuracy}}", Task.REGRESSION, ["training.early_stopping.monitor"]),
        ("training: {early_stopping: null}", Task.REGRESSION, []),
    ],
)
def test_metrics_are_checked_against_the_task_of_the_data(text: str, task: Task, paths: list[str]) -> None:
    spec = _read(text if text == MINIMAL else MINIMAL + text)

    if paths:
        mistakes = _mistakes(lambda: check_task(spec, task))
        assert [mistake.path for mistake in mistakes] == paths
        assert f"(the task is {task.value})" in str(mistakes[0])
    else:
        check_task(spec, task)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: was 2, is 3"]),
        ({"a": 1}, {}, ["a: was 1, is null"]),
        ({}, {"a": [1]}, ["a: was null, is [1]"]),
        ({"a": {"b": 1}}, {"a": None}, ["a: was {b: 1}, is null"]),
        ({"a": 1, "b": True}, {"a": 2, "b": False}, ["a: was 1, is 2", "b: was true, is false"]),
    ],
)
def test_difference_has_a_line_for_each_path(old: Any, new: Any, lines: list[str]) -> None:
    assert difference(old, new) == lines


def test_spec_loads_no_heavy_library() -> None:
    heavy = ("sqlalchemy", "optuna", "numpy", "pandas", "sklearn", "mlflow", "tensorflow", "keras")
    code = f"import sys, dnnsweep.spec; print([name for name in {heavy} if name in sys.modules])"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


@settings(deadline=None)
@given(sweep_files.documents())
def test_valid_file_validates_round_trips_and_fits_the_schema(document: dict[str, Any]) -> None:
    spec = check(document)

    assert _read(spec.to_yaml()) == spec
    assert _read(spec.to_yaml()).digest == spec.digest
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301  our own bytes
    for entry in spec.enqueue:
        assert all(spec.space[name].contains(value) for name, value in entry.items())
        assert {name for name, domain in spec.space.items() if active_domain(domain, entry) is not None} == set(entry)
    SCHEMA.validate(document)
    SCHEMA.validate(spec.to_json())


@settings(deadline=None)
@given(sweep_files.documents(), st.data())
def test_broken_file_names_the_place_that_was_broken(document: dict[str, Any], data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(sorted(document)))
    junk = data.draw(st.sampled_from([5.5, ["x"], {"x": 1}, True]))
    if section == "enqueue" and junk == ["x"]:
        section_path = "enqueue.0"
    elif section == "budget" and junk == 5.5:  # short for the number of trials
        section_path = "budget.trials"
    elif section == "objective" and junk == ["x"]:  # short for its metric
        section_path = "objective.metric"
    else:
        section_path = f"{section}.x" if isinstance(junk, dict) and isinstance(document[section], dict) else section

    assert section_path in _paths(lambda: check({**document, section: junk}))


def test_a_grid_has_no_more_trials_than_points() -> None:
    document = {
        "name": "a",
        "dataset": {"source": "sklearn:iris"},
        "sampler": {"kind": "grid"},
        "space": {"batch_norm": [True, False], "dropout": {"low": 0.0, "high": 0.5, "steps": 6}},
    }

    assert check(document).budget.trials == 12
    assert check({**document, "budget": {"trials": 5}}).budget.trials == 5
    assert check({**document, "sampler": {"kind": "random"}, "space": {}}).budget.trials == 100


# ---- conditions


CONDITIONS = """\
space:
  optimizer: [sgd, momentum, adam]
  learning_rate:
    - {when: {optimizer: [sgd, momentum]}, low: 1.0e-2, high: 1.0, log: true}
    - {when: {optimizer: adam}, low: 1.0e-4, high: 1.0e-2, log: true}
  batch_norm: [true, false]
  dropout: {when: {batch_norm: false}, low: 0.0, high: 0.5}
  hidden: {layers: {low: 1, high: 4}, units: {low: 16, high: 256, log: true}}
fixed: {dropout: 0.1}
"""


def test_conditions_and_layers_mean_what_they_say() -> None:
    spec = _read(MINIMAL + CONDITIONS)

    steep, flat = Range(0.01, 1.0, log=True), Range(0.0001, 0.01, log=True)
    assert spec.space["learning_rate"] == Conditional(
        (Branch(steep, {"optimizer": ("sgd", "momentum")}), Branch(flat, {"optimizer": ("adam",)}))
    )
    assert spec.space["dropout"] == Conditional((Branch(Range(0.0, 0.5), {"batch_norm": (False,)}),))
    layers, units = Range(1, 4, is_integer=True), Range(16, 256, log=True, is_integer=True)
    assert spec.space["hidden"] == Layers(layers, units)
    assert spec.default_params["dropout"] == 0.1


def test_a_conditional_hyperparameter_has_its_fixed_value_or_its_default_where_no_condition_holds() -> None:
    spaces = {"optimizer": ["sgd", "adam"], "l2": {"when": {"optimizer": "sgd"}, "values": [1]}}
    base = {"name": "a", "dataset": {}, "space": spaces}

    assert check(base).default_params["l2"] == Hyperparameters().l2
    assert check({**base, "fixed": {"l2": 2}}).default_params["l2"] == 2
    built = {**base, "network": {"builder": "python:a:b"}}
    assert check(built).default_params["l2"] == Hyperparameters().l2


def test_a_builders_own_hyperparameter_may_have_branches_of_one_kind() -> None:
    branches = [{"when": {"depth": 2}, "values": [8, 16]}, {"low": 1, "high": 4}]
    base = {"name": "a", "dataset": {}, "network": {"builder": "python:a:b"}}

    spec = check({**base, "space": {"depth": [1, 2], "size": branches, "tower": {"layers": [1, 2], "units": [8]}}})

    assert spec.space["size"].branches[1].domain == Range(1, 4, is_integer=True)
    assert spec.space["tower"] == Layers(Choice((1, 2)), Choice((8,)))
    mixed = [{"when": {"depth": 2}, "values": ["a", "b"]}, {"low": 1, "high": 4}]
    assert _paths(lambda: check({**base, "space": {"depth": [1, 2], "size": mixed}})) == ["space.size"]


def test_conditions_that_tell_too_many_cases_apart_are_refused() -> None:
    names = [f"knob{number}" for number in range(10)]
    own: dict[str, Any] = {name: [1, 2] for name in names}
    many = {"when": dict.fromkeys(names, 1), "values": [1, 2]}
    base = {"name": "a", "dataset": {}, "network": {"builder": "python:a:b"}, "fixed": {"last": 1}}

    assert 2**9 < MAX_CASES < 2**10
    (mistake,) = _mistakes(lambda: check({**base, "space": {**own, "last": many}}))

    assert (
        str(mistake)
        == "space: conditions must distinguish at most 1000 cases, got 1024; name fewer values after `when`"
    )


def test_a_space_with_too_many_branches_is_refused() -> None:
    branches = [{"when": {"batch_size": size}, "values": [size]} for size in range(1, MAX_BRANCHES + 2)]
    space = {"batch_size": {"low": 1, "high": 1000}, "l2": branches}

    (mistake,) = _mistakes(lambda: check({"name": "a", "dataset": {}, "space": space}))

    assert str(mistake) == "space: must have at most 100 branches, got 101; remove some of them"


def test_a_file_without_conditions_is_the_sweep_that_it_was_before_there_were_any() -> None:
    assert _read(EXAMPLE).digest == "b6491a39c8368db63fba8ede8607cf0d61de56b416cb44f58b444632c62c88ae"


# --- learning rates reduced on a plateau


def test_the_section_of_a_plateau_makes_its_schedule_the_default() -> None:
    assert _read(MINIMAL).defaults.schedule == "constant"
    assert _read(MINIMAL).plateau is None
    given = _read(MINIMAL + "training: {reduce_on_plateau: {monitor: val_auc, factor: 0.5}}")

    assert given.defaults.schedule == given.default_params["schedule"] == "reduce_on_plateau"
    assert given.plateau == PlateauSpec(monitor="val_auc", factor=0.5)
    assert given.scores == ("val_auc",)


@pytest.mark.parametrize("knobs", ["fixed: {schedule: reduce_on_plateau}", "space: {schedule: [reduce_on_plateau]}"])
def test_the_schedule_without_its_section_has_the_numbers_of_keras(knobs: str) -> None:
    spec = _read(f"{MINIMAL}{knobs}")

    assert "reduce_on_plateau" not in spec.to_json()["training"]
    assert spec.plateau == PlateauSpec(
        monitor="val_loss", factor=0.1, patience=10, min_delta=1e-4, cooldown=0, min_learning_rate=0.0
    )


def test_a_file_from_before_there_were_plateaus_is_the_same_sweep() -> None:
    """Computed by the version before."""
    assert _read(f"{MINIMAL}space: {{}}").digest == "ff62404dfb6ffba050af61ada81b962bdfa1c3d1b7e4083a4cb5c61f7dfdd240"


@pytest.mark.parametrize(
    ("document", "digest"),
    [
        (
            {"training": {"early_stopping": {"start_from_epoch": 3}, "reduce_on_plateau": {}, "metrics": ["val_f1"]}},
            "898e610ea59d183ab510ff48beaa4ce54d0a439689fc65ea8cc48a22d865f379",
        ),
        (
            {
                "sampler": {"kind": "nsga2", "population": 9},
                "objective": [{"metric": "val_accuracy"}, {"metric": "n_parameters"}],
            },
            "848bdc5e6aa61cbef8a140e806e582042d4a021cca6a5e7558946c570a2a2720",
        ),
        (
            {"dataset": {"source": "sklearn:iris", "class_weight": "balanced"}, "priority": 3},
            "26bfed75a7522adfd802cc4d5fbd61f5eb438842608e4240ac9c61368785951e",
        ),
    ],
)
def test_sweeps_that_use_newer_keys_have_the_digests_that_ledgers_hold(document: dict[str, Any], digest: str) -> None:
    file = {"name": "a", "dataset": {"source": "sklearn:iris"}, "space": {}, **document}
    assert check(file).digest == digest


def test_a_key_that_a_file_does_not_use_is_left_out_of_its_json() -> None:
    plain = check({"name": "a", "dataset": {"source": "sklearn:iris"}}).to_json()

    assert not {"priority", "tracking"} & set(plain)
    assert not {"split", "folds", "resplit", "class_weight", "sample_weight"} & set(plain["dataset"])
    assert not {"metrics", "reduce_on_plateau"} & set(plain["training"])
    assert "start_from_epoch" not in plain["training"]["early_stopping"]
    assert "population" not in plain["sampler"]
    assert "builder" not in plain["network"]


# ---- two objectives


def two(**sections: Any) -> SweepSpec:
    objective = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]
    return check({"name": "a", "dataset": {"source": "sklearn:iris"}, "objective": objective, **sections})


def test_two_objectives_are_written_as_a_list_and_read_back() -> None:
    spec = two()

    assert spec.objectives == (Objective("val_accuracy", "maximize"), Objective("n_parameters", "minimize"))
    assert [one["metric"] for one in spec.to_json()["objective"]] == ["val_accuracy", "n_parameters"]
    assert check(spec.to_json()) == spec
    assert documents.parse(spec.to_yaml(), "text")["objective"] == spec.to_json()["objective"]


def test_a_list_of_one_objective_is_that_objective() -> None:
    one, listed = two(objective={"metric": "val_auc"}), two(objective=[{"metric": "val_auc"}])

    assert one == listed
    assert one.digest == listed.digest
    assert one.scores == ("val_auc",)


def test_scores_of_either_objective_are_measured() -> None:
    assert two(objective=[{"metric": "val_f1"}, {"metric": "val_auc"}]).scores == ("val_auc", "val_f1")


def test_what_came_with_two_objectives_leaves_older_sweeps_as_they_were() -> None:
    """As the version before wrote it."""
    plain = check({"name": "a", "dataset": {"source": "sklearn:iris"}}).to_json()

    assert plain["objective"] == {"metric": "val_loss", "direction": None}
    assert plain["sampler"] == {"kind": "tpe", "window": None}


@pytest.mark.parametrize(("n_trials", "expected"), [(1, 8), (40, 8), (41, 9), (100, 20), (250, 50), (10**6, 50)])
def test_the_population_is_a_fifth_of_the_budget_within_bounds(n_trials: int, expected: int) -> None:
    assert two(budget={"trials": n_trials}).population == expected
    assert two(budget={"trials": n_trials}, sampler={"kind": "nsga2", "population": 5}).population == 5


def test_the_schema_takes_one_objective_or_a_list() -> None:
    judge = jsonschema.Draft202012Validator(json_schema())
    right = [{"metric": "val_loss"}, [{"metric": "n_parameters"}], [{"metric": "val_loss"}, {"metric": "n_parameters"}]]
    right += ["val_loss", ["val_loss", "n_parameters"]]
    wrong = [[], "val_los", [{"metric": "val_loss"}] * 3, [{"metric": "val_los"}], {"metric": "n"}]

    def is_valid(objective: Any) -> bool:
        return judge.is_valid({"name": "a", "dataset": {"source": "sklearn:iris"}, "objective": objective})

    assert [each for each in right if not is_valid(each)] == []
    assert [each for each in wrong if is_valid(each)] == []


def test_a_file_without_space_searches_the_default_space() -> None:
    [text] = re.findall(r"## The default space.*?```yaml\n(.*?)```", SPACE_PAGE.read_text(), re.DOTALL)
    written = check({**documents.parse(MINIMAL, "text"), **documents.parse(text, "text")})

    spec = check(documents.parse(MINIMAL, "text"))

    assert spec == written
    assert spec.digest == written.digest
    assert search_notes(spec) == (
        "The sweep searches the default space: initializer, dropout, l2, batch_norm, optimizer, learning_rate.",
    )


@pytest.mark.parametrize(
    ("section", "searched"),
    [
        ({"fixed": {"dropout": 0.1, "optimizer": "adam"}}, ["initializer", "l2", "batch_norm", "learning_rate"]),
        ({"network": {"builder": "python:builders:dense"}}, ["optimizer", "learning_rate"]),
        ({"network": {"builder": "python:builders:dense"}, "fixed": {"learning_rate": 0.1}}, ["optimizer"]),
    ],
    ids=["fixed", "builder", "both"],
)
def test_the_default_space_leaves_out_what_is_fixed_or_not_known_of_a_network(
    section: dict[str, Any], searched: list[str]
) -> None:
    spec = check({**documents.parse(MINIMAL, "text"), **section})

    assert list(spec.space) == searched
    assert search_notes(spec) == (f"The sweep searches the default space: {', '.join(searched)}.",)


def test_an_empty_space_searches_nothing_and_says_so() -> None:
    spec = check({**documents.parse(MINIMAL, "text"), "space": {}})

    assert not spec.space
    assert search_notes(spec) == (
        "The sweep searches nothing. Its trials repeat one configuration, each with another seed.",
    )
    assert check(spec.to_json()) == spec


def test_a_space_of_its_own_needs_no_note() -> None:
    space = {"dropout": [0.0, 0.5], "l2": {"low": 0.0, "high": 0.1}}

    assert search_notes(check({**documents.parse(MINIMAL, "text"), "space": space})) == ()


@pytest.mark.parametrize(
    ("space", "n_trials", "n_points"),
    [
        ({"dropout": [0.0, 0.5], "batch_norm": [True, False]}, 5, 4),
        ({"dropout": [0.0, 0.5], "batch_norm": [True, False]}, 4, None),
        ({"dropout": {"low": 0.0, "high": 0.4, "step": 0.1}}, 6, 5),
        ({"batch_norm": [True, False], "dropout": {"when": {"batch_norm": False}, "values": [0.1, 0.2]}}, 50, 3),
        ({"hidden": {"layers": {"low": 1, "high": 2}, "units": [4, 8]}}, 50, 4),
        ({"dropout": {"low": 0.0, "high": 0.4}}, 1_000, None),
    ],
)
def test_a_space_of_fewer_points_than_trials_is_pointed_out(
    space: dict[str, Any], n_trials: int, n_points: int | None
) -> None:
    document = {**documents.parse(MINIMAL, "text"), "space": space, "budget": {"trials": n_trials}}

    notes = search_notes(check(document))

    assert [f"The space has {n_points} points, so {n_trials} trials repeat" in note for note in notes] == (
        [] if n_points is None else [True]
    )


def test_a_grid_ends_before_it_repeats_a_point() -> None:
    document = {**documents.parse(MINIMAL, "text"), "space": {"dropout": [0.0, 0.5]}, "sampler": "grid"}

    assert search_notes(check(document)) == ()


def test_a_grid_has_no_default_space() -> None:
    document = {**documents.parse(MINIMAL, "text"), "sampler": {"kind": "grid"}}

    with pytest.raises(SpecError) as caught:
        check(document)
    assert [(mistake.path, mistake.rule) for mistake in caught.value.mistakes] == [
        ("space", "must list what a grid tries")
    ]
    assert not check({**document, "space": {}}).space


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("sampler: random", "sampler: {kind: random}"),
        ("pruner: asha", "pruner: {kind: asha}"),
        ("pruner: {kind: patient, wrapped: median}", "pruner: {kind: patient, wrapped: {kind: median}}"),
        ("trainer: fit", "trainer: {kind: fit}"),
        ("objective: val_accuracy", "objective: {metric: val_accuracy}"),
        ("objective: [val_accuracy, n_parameters]", "objective: [{metric: val_accuracy}, {metric: n_parameters}]"),
        ("budget: 50", "budget: {trials: 50}"),
        ("dataset: {source: churn.csv, target: x}", "dataset: {source: 'csv:churn.csv', target: x}"),
        ("dataset: {source: data/Churn.CSV.gz, target: x}", "dataset: {source: 'csv:data/Churn.CSV.gz', target: x}"),
        ("dataset: {source: rows.parquet, target: x}", "dataset: {source: 'parquet:rows.parquet', target: x}"),
        ("dataset: rows.npz", "dataset: {source: 'npz:rows.npz'}"),
        ("dataset: sklearn:wine", "dataset: {source: 'sklearn:wine'}"),
    ],
)
def test_a_short_form_is_the_same_sweep_as_its_long_form(short: str, long: str) -> None:
    one, other = (_read(_document(form)) for form in (short, long))

    assert one.to_json() == other.to_json()
    assert one.digest == other.digest
    SCHEMA.validate(documents.parse(_document(short), "text"))


def test_an_override_reaches_into_a_short_form(file: Path) -> None:
    file.write_text("name: a\ndataset: churn.csv\nsampler: random\n")

    spec = load(file, ["dataset.target=churn", "sampler.window=3", "pruner=median"])

    assert (spec.dataset.source, spec.dataset.target) == ("csv:churn.csv", "churn")
    assert (spec.sampler.kind, spec.sampler.window, spec.pruner.kind) == ("random", 3, "median")


PATIENCE = "training.early_stopping.patience or training.reduce_on_plateau.patience"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ("trials: 10", "trials: unknown key; did you mean budget.trials?"),
        ("n_trials: 10", "n_trials: unknown key; did you mean budget.trials?"),
        ("epoch: 10", "epoch: unknown key; did you mean training.epochs?"),
        ("dropout: 0.1", "dropout: unknown key; did you mean space.dropout or fixed.dropout?"),
        ("lr: 0.1", "lr: unknown key; did you mean space.learning_rate or fixed.learning_rate?"),
        ("space: {epochs: [1, 2]}", "space.epochs: unknown key; did you mean training.epochs?"),
        ("budget: {epochs: 5}", "budget.epochs: unknown key; did you mean training.epochs?"),
        ("training: {epoch: 5}", "training.epoch: unknown key; did you mean epochs?"),
        (
            "training: {patience: 3}",
            f"training.patience: unknown key; did you mean {PATIENCE}?",
        ),
        ("space: {l2: {min: 0.1, high: 1}}", "space.l2.min: unknown key; did you mean low?"),
        (
            "dataset: {source: digits}",
            "dataset.source: must name a known kind of source, got 'digits'; did you mean sklearn:digits?",
        ),
    ],
)
def test_a_key_in_the_wrong_place_is_sent_to_the_right_one_and_told_once(changes: str, says: str) -> None:
    assert [str(mistake) for mistake in _mistakes(lambda: _read(_document(changes)))] == [says]


def test_both_ends_of_a_range_are_renamed_and_none_is_called_missing() -> None:
    mistakes = _mistakes(lambda: _read(_document("space: {learning_rate: {min: 0.001, max: 0.1}}")))

    assert [str(mistake) for mistake in mistakes] == [
        "space.learning_rate.min: unknown key; did you mean low?",
        "space.learning_rate.max: unknown key; did you mean high?",
    ]


def test_a_misspelt_key_that_is_required_is_not_called_missing_too() -> None:
    mistakes = _mistakes(lambda: check({"nam": "a", "dataset": {"source": "sklearn:iris"}}))

    assert [str(mistake) for mistake in mistakes] == ["nam: unknown key; did you mean name?"]
