"""Sweeps of a service on another machine; every answer is the one that its home would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from dnnsweep.errors import QueryError, ServiceError, SweepNotFoundError
from dnnsweep.records import Candidate, Curve, Repeat, Sweep, SweepState, Trial
from dnnsweep.records.events import DeletedSweep, Event
from dnnsweep.records.paging import Page
from dnnsweep.records.sweeps import is_sweep_name
from dnnsweep.settings import ServiceAddress
from dnnsweep.stores import wire
from dnnsweep.stores.http import Http

#: Number of items to ask for at once.
PAGE: Final = 500
#: No trial has a higher number.
MAX_NUMBER: Final = 2**31 - 1


class RemoteStore:
    """Sweeps of a service; `SweepStore` says what the methods do.

    Args:
        remote: Address of the service, and the token for it.
    """

    def __init__(self, remote: ServiceAddress) -> None:
        self._http = Http(remote)

    def sweeps(self, state: SweepState | None = None) -> list[Sweep]:
        parameters = {} if state is None else {"state": state.value}
        return [wire.decode_record(Sweep, item) for item in self._all("/sweeps", parameters)]

    def sweep(self, name: str) -> Sweep:
        return wire.decode_record(Sweep, self._http.get(_path(name)))

    def trials(self, name: str, where: str | None = None) -> list[Trial]:
        return [wire.decode_record(Trial, item) for item in self._all(_path(name, "trials"), _where(where))]

    def trial_page(
        self, name: str, where: str | None = None, order: str = "number", limit: int | None = None, offset: int = 0
    ) -> Page[Trial]:
        items, total = self._part(_path(name, "trials"), {**_where(where), "order": order}, limit, offset)
        return Page([wire.decode_record(Trial, item) for item in items], total)

    def trial(self, name: str, number: int) -> Trial:
        return wire.decode_record(Trial, self._http.get(_path(name, "trials", str(number))))

    def best(self, name: str, top: int | None = None, where: str | None = None) -> list[Trial]:
        if top is not None and top < 1:
            raise QueryError(f"top must be at least 1, got {top}")
        parameters = {**_where(where), **({} if top is None else {"top": str(min(top, MAX_NUMBER))})}
        items = self._http.get(f"{_path(name, 'best')}?{urlencode(parameters)}")
        return [wire.decode_record(Trial, item) for item in items]

    def report(self, name: str) -> str:
        return self._http.get_text(_path(name, "report"))

    def answer(self, name: str) -> dict[str, Any]:
        return dict(self._http.get(_path(name, "answer")))

    def repeats(self, name: str) -> tuple[list[Candidate], list[Repeat]]:  # noqa: ARG002  a service shows its answer
        return [], []

    def curve(self, name: str, number: int) -> Curve:
        return wire.decode_curve(self._http.get(_path(name, "trials", str(number)))["curve"])

    def events(self, name: str) -> list[Event]:
        return [wire.decode_record(Event, item) for item in self._http.get(_path(name, "events"))]

    def event_page(self, name: str, limit: int | None = None, offset: int = 0) -> Page[Event]:
        items, total = self._part(_path(name, "events"), {}, limit, offset)
        return Page([wire.decode_record(Event, item) for item in items], total)

    def model(self, name: str, number: int, folder: Path | None = None) -> Path:
        path = (folder or Path()) / f"{name}-trial-{number}.keras"
        self._http.download(f"{_path(name, 'model')}?trial={number}", path)
        return path

    def retrained_model(self, name: str, folder: Path | None = None) -> Path | None:
        with suppress(SweepNotFoundError):  # there is no answer yet
            retrained = self.answer(name).get("retrained")
            if retrained is not None and retrained["model"] is not None:
                path = (folder or Path()) / f"{name}-retrained.keras"
                self._http.download(_path(name, "model"), path)
                return path
        return None

    def submit(self, document: Any) -> Sweep:
        plain = document if isinstance(document, Mapping) else document.to_json()
        return wire.decode_record(Sweep, self._http.post("/sweeps", plain))

    def resume(self, name: str) -> Sweep:
        return wire.decode_record(Sweep, self._http.post(_path(name, "resume")))

    def stop(self, name: str) -> bool:
        return bool(self._http.post(_path(name, "stop"))["is_stopping"])

    def delete(self, name: str) -> bool:
        return bool(self._http.delete(_path(name))["is_gone"])

    def deleted(self) -> list[DeletedSweep]:
        return [wire.decode_record(DeletedSweep, item) for item in self._all("/deleted-sweeps", {})]

    def _all(self, path: str, parameters: Mapping[str, str]) -> Iterator[Any]:
        """Yield the items of a route's list, page by page."""
        return iter(self._part(path, parameters, None, 0)[0])

    def _part(self, path: str, parameters: Mapping[str, str], limit: int | None, offset: int) -> tuple[list[Any], int]:
        """Return a part of a route's list, asked for page by page, and how long the whole list is.

        Args:
            path: Path of the route.
            parameters: What is asked of the route beside the part.
            limit: Return at most this many items; None for all.
            offset: Leave out this many items at the beginning.
        """
        found: list[Any] = []
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            part = {"limit": str(size), "offset": str(offset + len(found))}
            items, total = self._http.get_part(f"{path}?{urlencode({**parameters, **part})}")
            if not isinstance(items, list):
                raise ServiceError(f"the service must answer {path} with a list; check DNNSWEEP_API_URL")
            found += items
            if len(items) < size or len(found) == limit:
                return found, total


def _path(name: str, *more: str) -> str:
    if not is_sweep_name(name):  # it would be another address
        raise SweepNotFoundError.named(name)
    return "/".join(["/sweeps", name, *more])


def _where(where: str | None) -> dict[str, str]:
    return {} if where is None else {"where": where}
