"""In what a winner differs from a baseline, and the configurations between them.

A player is a hyperparameter, or several that belong together. A coalition is a set of players, written as a number
whose bit i says whether player i has the winner's value: coalition 0 is the baseline, the last one the winner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.answers.configurations import configuration_key

#: Hyperparameters of a step. A learning rate is right or wrong for an optimizer only, so they are one player.
OF_STEPS: Final = ("optimizer", "learning_rate", "schedule", "momentum", "nesterov", "beta_1", "beta_2")


@dataclass(frozen=True, slots=True)
class Player:
    """Hyperparameters that change their values together.

    Args:
        names: Names of the hyperparameters.
        before: Their values in the baseline.
        after: Their values in the winner.
    """

    names: tuple[str, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the names as one text."""
        return ", ".join(self.names)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two configurations and what differs between them.

    Args:
        baseline: Every hyperparameter of the baseline.
        winner: Every hyperparameter of the winner.
        players: What differs, in the order of the winner's hyperparameters.
    """

    baseline: Mapping[str, Any]
    winner: Mapping[str, Any]
    players: tuple[Player, ...]

    @property
    def n_coalitions(self) -> int:
        """Return the number of all coalitions."""
        return 1 << len(self.players)

    def params(self, coalition: int) -> dict[str, Any]:
        """Return every hyperparameter of a coalition: the winner's values of its members, else the baseline's."""
        moved = {name for player in self._members(coalition) for name in player.names}
        sources = {name: self.winner if name in moved else self.baseline for name in {**self.baseline, **self.winner}}
        return {name: source[name] for name, source in sources.items() if name in source}

    def label(self, coalition: int) -> str:
        """Return what a coalition is called."""
        members = [player.name for player in self._members(coalition)]
        return f"baseline with {' and '.join(members)} of the winner" if members else "baseline"

    def _members(self, coalition: int) -> list[Player]:
        return [player for index, player in enumerate(self.players) if coalition >> index & 1]


def contrast_between(
    baseline: Mapping[str, Any], winner: Mapping[str, Any], parents: Mapping[str, Iterable[str]]
) -> Contrast:
    """Return what differs between two configurations.

    Args:
        baseline: Every hyperparameter of the baseline.
        winner: Every hyperparameter of the winner.
        parents: Hyperparameter -> those that its conditions name. Where both differ they are one player.

    Example:
        >>> before = {"l2": 0.0, "optimizer": "sgd", "schedule": "constant"}
        >>> after = {"l2": 0.1, "optimizer": "adam", "schedule": "cosine"}
        >>> [player.name for player in contrast_between(before, after, {}).players]
        ['l2', 'optimizer, schedule']
    """
    differing = [name for name in {**winner, **baseline} if _text(winner, name) != _text(baseline, name)]
    groups: list[tuple[str, ...]] = _joined([(name,) for name in differing], OF_STEPS)
    for child in differing:
        for parent in parents.get(child, ()):
            groups = _joined(groups, (child, parent))
    players = tuple(Player(names, _part(baseline, names), _part(winner, names)) for names in groups)
    return Contrast(baseline, winner, players)


def _text(params: Mapping[str, Any], name: str) -> str:
    return configuration_key(_part(params, (name,)))


def _part(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: params[name] for name in names if name in params}


def _joined(groups: Sequence[tuple[str, ...]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return groups of which those that hold one of the names are one group, in the place of the first one."""
    together = [group for group in groups if not set(group).isdisjoint(names)]
    merged = tuple(name for group in together for name in group)
    return [merged if group in together else group for group in groups if group not in together[1:]]
