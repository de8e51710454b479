"""Every route: parse, one call, answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dnnsweep import policy
from dnnsweep.errors import LedgerError, SweepNotFoundError
from dnnsweep.ledger import Page
from dnnsweep.records import Sweep, SweepState, Trial
from dnnsweep.records.events import Event
from dnnsweep.redaction import redact
from dnnsweep.service import bodies, examples, prometheus, streams
from dnnsweep.service.problems import RefusalError, responses
from dnnsweep.service.state import ServiceState
from dnnsweep.service.tokens import READING, WRITING
from dnnsweep.spec import check
from dnnsweep.stores.local import LocalStore
from dnnsweep.stores.wire import encode_curve

log: Final = logging.getLogger(__name__)
MAX_OFFSET: Final = 10**9
MAX_NUMBER: Final = 2**31 - 1
MAX_PAGE: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PRIVATE: Final = responses(401)

router = APIRouter()


# What waits for nothing is a coroutine: FastAPI would hand each function to a thread.


async def _desk(request: Request) -> ServiceState:
    desk: ServiceState = request.app.state.desk
    return desk


async def _place(desk: Annotated[ServiceState, Depends(_desk)]) -> LocalStore:
    return desk.place if desk.is_open else await run_in_threadpool(lambda: desk.place)


async def _known_name(name: Annotated[str, Path(description="The sweep's.", examples=["digits"])]) -> str:
    """Return a name that a sweep may have; of others no database is asked, which may not be able to hold them."""
    if not _NAME.fullmatch(name):
        raise SweepNotFoundError("there is no sweep of this name: names consist of letters, digits, - and _")
    return name


DeskOf = Annotated[ServiceState, Depends(_desk)]
PlaceOf = Annotated[LocalStore, Depends(_place)]
Name = Annotated[str, Depends(_known_name)]
Number = Annotated[int, Path(ge=0, le=MAX_NUMBER, description="The trial's.", examples=[0])]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most so many.")]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Leave out so many.")]
Where = Annotated[
    str | None,
    Query(description="A condition.", examples=["optimizer == 'adam' and dropout < 0.3"]),
]


def _paged(request: Request, page: Page[Any], limit: int, offset: int) -> JSONResponse:
    headers = {"X-Total-Count": str(page.total)}
    if offset + len(page.items) < page.total and page.items:
        following = request.url.include_query_params(limit=limit, offset=offset + limit)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return JSONResponse([item.to_json() for item in page.items], headers=headers)


# ---- sweeps


@router.post(
    "/sweeps",
    status_code=201,
    response_model=Sweep,
    dependencies=WRITING,
    openapi_extra={"requestBody": examples.SWEEP_FILE},
    responses={
        200: {"description": "It was submitted before.", "model": Sweep},
        201: examples.example_of(examples.SWEEP, "It is new, and waits for a worker."),
        **responses(401, 403, 409, 413, 415, 422),
    },
)
async def submit(request: Request, desk: DeskOf) -> Response:
    """Put a sweep into the queue; submitting the same again changes nothing."""
    kind, data = bodies.media_type(request), await bodies.body(request)

    def put() -> Response:
        spec = bodies.sweep_file(data, kind)
        policy.check(spec, desk.limits)
        sweep, is_new = desk.place.put(spec, is_restricted=True)
        return JSONResponse(sweep.to_json(), 201 if is_new else 200, {"Location": f"/sweeps/{sweep.name}"})

    return await run_in_threadpool(put)


@router.get(
    "/sweeps",
    response_model=list[Sweep],
    dependencies=READING,
    responses={200: examples.example_of([examples.SWEEP], "Oldest first."), **responses(401, 422)},
)
def list_sweeps(
    request: Request,
    place: PlaceOf,
    state: Annotated[SweepState | None, Query(description="Only those that stand so.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Return sweeps, oldest first."""
    return _paged(request, place.sweep_page(state, limit, offset), limit, offset)


@router.get(
    "/sweeps/{name}",
    response_model=Sweep,
    dependencies=READING,
    responses={200: examples.example_of(examples.SWEEP), **responses(401, 404)},
)
def show(name: Name, place: PlaceOf) -> Response:
    """Return one sweep."""
    return JSONResponse(place.sweep(name).to_json())


@router.delete(
    "/sweeps/{name}",
    dependencies=WRITING,
    responses={200: examples.example_of({"name": "digits", "is_gone": True}), **responses(401, 403, 404, 409)},
)
def delete(name: Name, place: PlaceOf) -> Response:
    """Remove a sweep, its trials, its model and its MLflow runs; these go with the next idle worker."""
    return JSONResponse({"name": name, "is_gone": place.delete(name)})


@router.post(
    "/sweeps/{name}/stop",
    dependencies=WRITING,
    responses={200: examples.example_of({"name": "digits", "is_stopping": True}), **responses(401, 403, 404)},
)
def stop(name: Name, place: PlaceOf) -> Response:
    """Stop a sweep that is running or waits."""
    return JSONResponse({"name": name, "is_stopping": place.stop(name)})


@router.post(
    "/sweeps/{name}/resume",
    response_model=Sweep,
    dependencies=WRITING,
    responses={200: examples.example_of(examples.SWEEP), **responses(401, 403, 404, 409, 422)},
)
def resume(name: Name, desk: DeskOf) -> Response:
    """Put a sweep that has trials left into the queue again."""
    place = desk.place
    policy.check(check(place.sweep(name).spec), desk.limits)
    return JSONResponse(place.resume(name, is_restricted=True).to_json())


# ---- trials


@router.get(
    "/sweeps/{name}/trials",
    response_model=list[Trial],
    dependencies=READING,
    responses={200: examples.example_of([examples.TRIAL]), **responses(401, 404, 422)},
)
def list_trials(  # noqa: PLR0913, PLR0917  a route's parameters are its arguments
    request: Request,
    name: Name,
    place: PlaceOf,
    where: Where = None,
    order: Annotated[
        str, Query(max_length=40, description="A field; `-` before it: the largest first.", examples=["-value"])
    ] = "number",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Return trials of a sweep, in all states."""
    return _paged(request, place.trial_page(name, where, order, limit, offset), limit, offset)


@router.get(
    "/sweeps/{name}/trials/{number}",
    dependencies=READING,
    responses={200: examples.example_of(examples.TRIAL_WITH_CURVE), **responses(401, 404, 422)},
)
def show_trial(name: Name, number: Number, place: PlaceOf) -> Response:
    """Return one trial, with what was measured after each epoch; numbers that are not finite are texts."""
    trial, curve = place.trial_with_curve(name, number)
    return JSONResponse({**trial.to_json(), "curve": encode_curve(curve)})


@router.get(
    "/sweeps/{name}/best",
    response_model=list[Trial],
    dependencies=READING,
    responses={200: examples.example_of([examples.TRIAL], "Best first."), **responses(401, 404, 422)},
)
def best(
    name: Name,
    place: PlaceOf,
    top: Annotated[int | None, Query(ge=1, le=MAX_NUMBER, description="How many; 5 if left out.")] = None,
    where: Where = None,
) -> Response:
    """Return the best trials of a sweep."""
    return JSONResponse([trial.to_json() for trial in place.best(name, top, where)])


@router.get(
    "/sweeps/{name}/model",
    response_class=FileResponse,
    dependencies=READING,
    responses={
        200: {"description": "A Keras model.", "content": {"application/octet-stream": {}}},
        **responses(401, 404, 422),
    },
)
def model(
    name: Name,
    place: PlaceOf,
    trial: Annotated[int | None, Query(ge=0, le=MAX_NUMBER, description="The trial; the best if left out.")] = None,
) -> Response:
    """Return the best trial's model, with the weights of its best epoch."""
    number = trial
    if number is None:
        found = place.best(name, 1)
        if not found:
            raise SweepNotFoundError(f"no trial of sweep {name} is complete")
        number = found[0].number
    path = place.model(name, number)
    return FileResponse(path, media_type="application/octet-stream", filename=f"{name}-trial-{number}.keras")


# ---- what happens


@router.get(
    "/sweeps/{name}/events",
    response_model=list[Event],
    dependencies=READING,
    responses={
        200: {
            "description": "As they happen, until the sweep has ended; or, if JSON is accepted alone, those so far.",
            "content": {streams.MEDIA_TYPE: {"example": examples.STREAM}},
        },
        204: {"description": "The sweep has ended, and the reader has seen all."},
        **responses(401, 404, 422, 503),
    },
)
async def events(
    name: Name,
    desk: DeskOf,
    accept: Annotated[str, Header()] = "*/*",
    last_event_id: Annotated[str, Header(description="The last event that was seen; later ones follow.")] = "",
) -> Response:
    """Tell what happens to a sweep: `event`, `progress`, and at the end `end` (or `deleted`)."""
    place = await _place(desk)
    if "application/json" in accept and streams.MEDIA_TYPE not in accept:
        found = await run_in_threadpool(place.events, name)
        return JSONResponse([event.to_json() for event in found])
    after = int(last_event_id) if re.fullmatch(r"[0-9]{1,15}", last_event_id) else 0
    sweep = await run_in_threadpool(place.sweep, name)
    if after and streams.has_ended(sweep):
        newer = await run_in_threadpool(place.ledger.overview.events_after, sweep, after, 1)
        if not newer:
            return Response(status_code=204)
    if desk.n_streams >= streams.MAX_STREAMS:
        raise RefusalError(503, f"at most {streams.MAX_STREAMS} readers may listen at once; try again later")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = streams.Stream(place, name, after, desk.is_closing)
    listening = streams.counted(desk, stream.messages())
    return StreamingResponse(listening, media_type=streams.MEDIA_TYPE, headers=headers)


# ---- the service itself


@router.get("/healthz", responses={200: examples.example_of({"status": "ok"})})
async def healthz() -> Mapping[str, str]:
    """Say that the service is there."""
    return {"status": "ok"}


@router.get("/readyz", responses={200: examples.example_of({"status": "ready"}), **responses(503)})
def readyz(desk: DeskOf) -> Response:
    """Say whether the ledger can be read; why it cannot be is for the log, for everybody may ask."""
    try:
        desk.place.sweep_page(limit=1)
    except LedgerError as error:
        log.warning("not ready: %s", redact(str(error)))
        raise RefusalError(503, "the ledger cannot be read; the service's log tells why") from error
    return JSONResponse({"status": "ready"})


@router.get(
    "/metrics",
    response_class=Response,
    dependencies=READING,
    responses={200: {"description": "Prometheus's text.", "content": {"text/plain": {}}}, **_PRIVATE},
)
def figures(place: PlaceOf) -> Response:
    """Return how queue, trials, outbox and leases stand."""
    return Response(prometheus.text(place.ledger.overview.figures), media_type=prometheus.MEDIA_TYPE)
