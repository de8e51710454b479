"""A worker: claims queued sweeps, one after the other, and runs a controller for each."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import Any, Final

from dnnsweep import policy
from dnnsweep.delivery.process import ShipperProcess
from dnnsweep.errors import DnnsweepError, LeaseLostError, LedgerAwayError, LedgerError, LedgerVersionError
from dnnsweep.executors.local import n_cores
from dnnsweep.ledger import Lease, Ledger
from dnnsweep.profiling import Profile
from dnnsweep.records import DataSummary, SweepState
from dnnsweep.redaction import redact
from dnnsweep.runner.claim import Claim
from dnnsweep.runner.run import run_claimed
from dnnsweep.settings import Limits, Settings
from dnnsweep.spec import SweepSpec, check

#: How often an idle worker looks for a sweep.
POLL_SECONDS: Final = 1.0
#: How long it waits before it looks again when the ledger could not be read.
AWAY_SECONDS: Final = 5.0
#: How often an idle worker brings to MLflow what nobody else does, and how long that may take.
DELIVERY_EVERY_SECONDS: Final = 30.0
DELIVERY_SECONDS: Final = 20.0
#: No sweep's: what such a sender may deliver is that of sweeps that nobody runs.
NOBODYS: Final = ""


class Worker:
    """Runs queued sweeps until it is asked to end.

    Args:
        settings: Where ledger, tracking store and models are.
        limits: What sweeps that came over the network may ask for.
        trainers: Training processes of a sweep; None for what its file says, else one per core.
        grace: Seconds in which a sweep is finished or handed back after SIGTERM or Ctrl-C.
        say: Called with what happens.
    """

    def __init__(
        self, settings: Settings, limits: Limits, trainers: int | None, grace: float, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._trainers = trainers
        self._grace = grace
        self._say = say
        self._is_draining = threading.Event()
        self._is_loading = threading.Event()
        self._looked_at = -DELIVERY_EVERY_SECONDS

    def run(self) -> None:
        """Claim and run sweeps until SIGTERM or Ctrl-C.

        Raises:
            LedgerError: The ledger cannot be opened.
        """
        with self._signals(), closing(self._opened()) as ledger:
            self._say("waiting for sweeps")
            while not self._is_draining.is_set():
                self._turn(ledger)
        self._say("ended")

    def _opened(self) -> Ledger:
        """Open the ledger, whose database may come up later than this process."""
        until = time.monotonic() + self._settings.patience
        while True:
            try:
                return Ledger.open(self._settings.database_url, create=True, patience=self._settings.patience)
            except LedgerVersionError:
                raise
            except LedgerError as error:
                if time.monotonic() > until or self._is_draining.is_set():
                    raise
                self._say(redact(str(error)))
            self._is_draining.wait(AWAY_SECONDS)

    def _turn(self, ledger: Ledger) -> None:
        try:
            claimed = ledger.claim()
            if claimed is None:
                self._deliver(ledger)
        except LedgerError as error:
            self._say(redact(str(error)))
            self._is_draining.wait(AWAY_SECONDS)
            return
        if claimed is None:
            self._is_draining.wait(POLL_SECONDS)
        else:
            self._work(ledger, *claimed)

    def _work(self, ledger: Ledger, lease: Lease, name: str) -> None:
        self._say(f"sweep {name}: claimed")
        try:
            state = self._train(ledger, lease, name)
        except LeaseLostError as error:
            self._say(f"sweep {name}: {error}")
            return
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  one bad sweep does not end a worker
            why = policy.hide_data_root(redact(str(error)), self._limits) or type(error).__name__
            self._say(f"sweep {name}: {why}")
            is_passing = isinstance(error, KeyboardInterrupt | LedgerAwayError)
            state = _hand_back(ledger, lease, name, None if is_passing else why)
        self._say(f"sweep {name}: {'handed back' if state is SweepState.QUEUED else state.lower()}")

    def _train(self, ledger: Ledger, lease: Lease, name: str) -> SweepState:
        spec = check(ledger.sweep(name).spec)
        is_restricted = ledger.overview.is_restricted(name)
        if is_restricted:  # again: a file or a limit may have changed since it was submitted
            policy.check(spec, self._limits)
        claim = Claim(
            ledger=ledger,
            lease=lease,
            spec=policy.with_real_paths(spec, self._limits) if is_restricted else spec.to_json(),
            trainers=self._n_trainers(spec, is_restricted=is_restricted),
            check=self._check_rows if is_restricted else lambda _: None,
            grace=self._grace,
            is_draining=self._is_draining,
            is_loading=self._is_loading,
        )
        return run_claimed(spec, self._settings, claim)

    def _n_trainers(self, spec: SweepSpec, *, is_restricted: bool) -> int | None:
        wanted = self._trainers or spec.resources.trainers
        if wanted is None or self._trainers is not None or not is_restricted:
            return wanted
        return min(wanted, n_cores())

    def _check_rows(self, data: DataSummary) -> None:
        policy.check_rows(data.n_train + data.n_validation + data.n_test, self._limits)

    def _deliver(self, ledger: Ledger) -> None:
        """Bring to MLflow what it has missed of sweeps that nobody runs."""
        if time.monotonic() - self._looked_at < DELIVERY_EVERY_SECONDS:
            return
        self._looked_at = time.monotonic()
        if ledger.outbox.next_due(NOBODYS) is None:
            return
        ledger.outbox.make_due()
        shipping = ShipperProcess(self._settings, NOBODYS, Profile())
        shipping.start()
        shipping.close(min(DELIVERY_SECONDS, self._grace))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and Ctrl-C drain the worker; data that are being loaded are not waited for."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            is_first = not self._is_draining.is_set()
            self._is_draining.set()
            if self._is_loading.is_set() or not is_first:
                raise KeyboardInterrupt

        before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _hand_back(ledger: Ledger, lease: Lease, name: str, why: str | None) -> SweepState:
    """Hand a sweep back that is not to blame itself, else note why it failed; return how it is left."""
    state = SweepState.QUEUED if why is None else SweepState.FAILED
    with suppress(DnnsweepError):  # the lease runs out by itself
        known = ledger.sweep(name).state
        if known is not SweepState.RUNNING:  # it had ended before
            return known
        return lease.end(state, why, is_patient=why is not None)
    return state
