"""A worker: claims queued sweeps, one after the other, and runs each."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

from dnnsweep import policy
from dnnsweep.errors import DnnsweepError, LeaseLostError, LedgerAwayError, LedgerError, LedgerVersionError
from dnnsweep.executors import ExecutorKind
from dnnsweep.executors.local import n_cores
from dnnsweep.ledger import Lease, Ledger
from dnnsweep.records import DataSummary, SweepState
from dnnsweep.redaction import redact
from dnnsweep.runner.claim import Claim, run_claimed
from dnnsweep.runner.shipping import INTERRUPTED_WAIT_SECONDS, WorkerShipping
from dnnsweep.runner.signals import Shutdown, handle_signals
from dnnsweep.settings import Limits, Settings
from dnnsweep.spec import SweepSpec, check

#: How often an idle worker looks for a sweep.
POLL_SECONDS: Final = 1.0
#: How long a worker waits before it looks again when the ledger could not be read.
AWAY_SECONDS: Final = 5.0
#: How often an idle worker delivers to MLflow what nobody else does.
DELIVERY_EVERY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker runs sweeps.

    Args:
        executor: Which executor runs the trainers of a sweep.
        n_trainers: Trainers to start for a sweep; None for what its file says, else as many as repay their start.
        grace: Seconds in which a sweep is finished or handed back after SIGTERM or Ctrl-C.
    """

    executor: ExecutorKind
    n_trainers: int | None
    grace: float


class Worker:
    """Runs queued sweeps until it is asked to end.

    Args:
        settings: Where ledger, tracking store and models are.
        limits: What sweeps that came over the network may ask for.
        options: How to run sweeps.
        say: Called with a line of text for each thing that happens.
    """

    def __init__(self, settings: Settings, limits: Limits, options: WorkerOptions, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._limits = limits
        self._options = options
        self._say = say
        self._shutdown = Shutdown(options.grace)
        self._shipping = WorkerShipping(options.executor, settings)
        self._delivered_at = -DELIVERY_EVERY_SECONDS

    def run(self) -> None:
        """Claim and run sweeps until SIGTERM or Ctrl-C.

        Raises:
            LedgerError: The ledger cannot be opened.
        """
        with handle_signals(self._shutdown.request), closing(self._open_ledger()) as ledger:
            self._say("waiting for sweeps")
            try:
                while not self._shutdown.is_requested:
                    self._claim_or_deliver(ledger)
                self._shipping.close(min(INTERRUPTED_WAIT_SECONDS, self._shutdown.seconds_left))
            finally:
                self._shipping.close(0.0)
        self._say("ended")

    def _open_ledger(self) -> Ledger:
        """Open the ledger, whose database may come up later than this process."""
        until = time.monotonic() + self._settings.patience
        while True:
            try:
                return Ledger.open(self._settings.database_url, create=True, patience=self._settings.patience)
            except LedgerVersionError:
                raise
            except LedgerError as error:
                if time.monotonic() > until or self._shutdown.is_requested:
                    raise
                self._say(redact(str(error)))
            self._shutdown.wait(AWAY_SECONDS)

    def _claim_or_deliver(self, ledger: Ledger) -> None:
        """Run the next sweep; if none is queued, deliver what nobody else does, and wait a moment."""
        try:
            claimed = ledger.claim()
            if claimed is None:
                self._deliver(ledger)
        except LedgerError as error:
            self._say(redact(str(error)))
            self._shutdown.wait(AWAY_SECONDS)
            return
        if claimed is None:
            self._shutdown.wait(POLL_SECONDS)
        else:
            self._run_claimed(ledger, *claimed)

    def _run_claimed(self, ledger: Ledger, lease: Lease, name: str) -> None:
        self._say(f"sweep {name}: claimed")
        try:
            state = run_claimed(self._claim(ledger, lease, name), self._settings)
        except LeaseLostError as error:
            self._say(f"sweep {name}: {error}")
            return
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  one bad sweep does not end a worker
            why = redact(str(error)) or type(error).__name__
            self._say(f"sweep {name}: {why}")
            is_passing = isinstance(error, KeyboardInterrupt | LedgerAwayError)
            state = _hand_back(ledger, lease, name, None if is_passing else why)
        self._say(f"sweep {name}: {'handed back' if state is SweepState.QUEUED else state.lower()}")

    def _claim(self, ledger: Ledger, lease: Lease, name: str) -> Claim:
        """Return a claimed sweep with what the operator lets it use.

        Raises:
            SpecError: The sweep asks for more than the operator allows.
        """
        spec = check(ledger.sweep(name).spec)
        is_restricted = ledger.is_restricted(name)
        if is_restricted:  # again: a file or a limit may have changed since it was submitted
            policy.check(spec, self._limits)
        return Claim(
            ledger=ledger,
            lease=lease,
            spec=spec,
            limits=self._limits if is_restricted else None,
            executor=self._options.executor,
            n_trainers=self._allowed_trainers(spec, is_restricted=is_restricted),
            check_data=self._check_rows if is_restricted else lambda _: None,
            shutdown=self._shutdown,
            shipping=self._shipping,
        )

    def _allowed_trainers(self, spec: SweepSpec, *, is_restricted: bool) -> int | None:
        wanted = self._options.n_trainers or spec.resources.trainers
        if wanted is None or self._options.n_trainers is not None or not is_restricted:
            return wanted
        return min(wanted, n_cores())

    def _check_rows(self, data: DataSummary) -> None:
        policy.check_rows(data.n_train + data.n_validation + data.n_test, self._limits)

    def _deliver(self, ledger: Ledger) -> None:
        """Deliver to MLflow, every now and then, what it has missed of sweeps that nobody runs."""
        if time.monotonic() - self._delivered_at < DELIVERY_EVERY_SECONDS:
            return
        self._delivered_at = time.monotonic()
        self._shipping.tend(ledger)


def _hand_back(ledger: Ledger, lease: Lease, name: str, why: str | None) -> SweepState:
    """End the lease on a sweep that could not go on; return how the sweep is left.

    Args:
        ledger: The ledger that holds the sweep.
        lease: The lease to end.
        name: Name of the sweep.
        why: Why the sweep failed; None if it is not to blame, so that it is queued again.
    """
    state = SweepState.QUEUED if why is None else SweepState.FAILED
    with suppress(DnnsweepError):  # the lease runs out by itself
        stored = ledger.sweep(name).state
        if stored is not SweepState.RUNNING:  # it had ended before
            return stored
        return lease.end(state, why, is_patient=why is not None)
    return state
