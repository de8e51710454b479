"""Every exception that dnnsweep raises on purpose. Each message states the rule, the value and the remedy.

No message holds a password: passwords are masked when an exception is made, whoever prints or stores it later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dnnsweep.redaction import redact, redact_all


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a sweep file or in its data.

    Args:
        path: Dotted YAML path of the mistake (`space.dropout`, `enqueue.0.optimizer`).
        rule: What must hold.
        got: The value that breaks the rule; empty if there is none.
        remedy: What to do about it; empty if the rule already says so.

    Example:
        >>> str(Mistake("space.dropout", "low must not exceed high", "low=0.9 and high=0.1"))
        'space.dropout: low must not exceed high, got low=0.9 and high=0.1'
    """

    path: str
    rule: str
    got: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        got = f", got {self.got}" if self.got else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.path}: {self.rule}{got}{remedy}"


class DnnsweepError(Exception):
    """The command failed."""

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(arg) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[object, ...]:
        """Let errors cross a process boundary whatever their constructor takes."""
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(kind: type[DnnsweepError], args: tuple[object, ...], state: dict[str, object]) -> DnnsweepError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class SpecError(DnnsweepError):
    """The sweep file is wrong."""

    exit_code = 2

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = _redacted(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


def _redacted(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Return mistakes without passwords; there may be tens of thousands."""
    parts = [part for mistake in mistakes for part in (mistake.path, mistake.rule, mistake.got, mistake.remedy)]
    masked = iter(redact_all(parts))
    return tuple(Mistake(*four) for four in zip(masked, masked, masked, masked, strict=True))


class DataError(SpecError):
    """The data that the sweep file names cannot be used as it asks."""


class QueryError(DnnsweepError):
    """A `--where` expression or another argument of a query is wrong."""

    exit_code = 2


class SettingsError(DnnsweepError):
    """An environment variable or an option of a service is wrong."""

    exit_code = 2


class SweepNotFoundError(DnnsweepError):
    """There is no sweep, trial or result of that name."""

    @classmethod
    def named(cls, name: str) -> SweepNotFoundError:
        """Return the error about a name that no sweep has."""
        return cls(f"there is no sweep named {name}; `dnnsweep list` shows those there are")


class SweepConflictError(DnnsweepError):
    """The name is taken by a sweep with another content, or its data have changed."""

    difference: tuple[str, ...] = ()


class SweepHeldError(DnnsweepError):
    """Another controller is running this sweep, or may be running it.

    Attributes:
        is_certain: Whether it was seen to run; if not, it has to be watched for longer.
    """

    is_certain = True


class LeaseLostError(DnnsweepError):
    """Another controller has taken this sweep over; this one may write nothing more."""


class SweepFailedError(DnnsweepError):
    """The sweep was given up: too many trials in a row failed."""


class TrainerError(DnnsweepError):
    """A trainer could not start."""


class LedgerError(DnnsweepError):
    """The ledger cannot be opened, or was written by a newer version of dnnsweep."""


class LedgerVersionError(LedgerError):
    """The ledger was written by a newer version of dnnsweep, or by another program; waiting does not help."""


class LedgerAwayError(LedgerError):
    """The ledger's database is unreachable, locked or full, which may pass."""


class TrackingError(DnnsweepError):
    """The tracking server cannot be reached or refuses."""


class ArtifactError(TrackingError):
    """The tracking server took a run, but not all of its files."""

    #: Id of the run.
    run_id: str = ""


class ServiceError(DnnsweepError):
    """The service cannot be reached, refuses, or sends an answer that makes no sense."""


class AnswerError(DnnsweepError):
    """A sweep cannot be asked this, or not yet."""


class ExportError(DnnsweepError):
    """A configuration cannot be exported in the form asked for."""


class OutputError(DnnsweepError):
    """What a command prints cannot be written."""
