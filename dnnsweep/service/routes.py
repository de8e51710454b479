"""All routes: parse, call once, answer."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from dnnsweep import policy
from dnnsweep.errors import SweepNotFoundError
from dnnsweep.records import SweepState
from dnnsweep.records.events import DeletedSweep, Event
from dnnsweep.records.paging import Page
from dnnsweep.records.sweeps import is_sweep_name
from dnnsweep.service import bodies, examples, prometheus, schemas, streams
from dnnsweep.service.admission import ADMISSION, READING, WRITING
from dnnsweep.service.answers import HEADERS
from dnnsweep.service.credentials import Requester, require_reader
from dnnsweep.service.head_requests import IS_HEAD
from dnnsweep.service.problems import RefusalError, responses
from dnnsweep.service.quotas import MeteredRoute, metered
from dnnsweep.service.state import ServiceState
from dnnsweep.service.tokens import Token
from dnnsweep.spec import check
from dnnsweep.stores.local import LocalStore
from dnnsweep.stores.wire import encode_curve

log: Final = logging.getLogger(__name__)

MAX_OFFSET: Final = 10**9
MAX_NUMBER: Final = 2**31 - 1
MAX_PAGE: Final = 1000
#: What a browser may do with a report: show it with its own styles, and nothing else.
REPORT_POLICY: Final = f"{HEADERS['Content-Security-Policy']}; style-src 'unsafe-inline'"
MODEL_BLOCK_BYTES: Final = 1 << 18
_PRIVATE: Final = responses(401)

router = APIRouter(route_class=MeteredRoute)


# Dependencies that never block are coroutines: FastAPI would run each function in a thread.


async def _state_of(request: Request) -> ServiceState:
    service: ServiceState = request.app.state.service
    return service


async def _store(service: Annotated[ServiceState, Depends(_state_of)]) -> LocalStore:
    return service.store if service.is_open else await run_in_threadpool(lambda: service.store)


async def _checked_name(name: Annotated[str, Path(description="Name of the sweep.", examples=["digits"])]) -> str:
    """Return a name that a sweep may have; others never reach the database, which may not be able to hold them."""
    if not is_sweep_name(name):
        raise SweepNotFoundError("there is no sweep of this name: names consist of letters, digits, - and _")
    return name


async def _until_sent() -> AsyncIterator[AsyncExitStack]:
    """Yield a stack of what ends when the answer has been sent."""
    async with AsyncExitStack() as stack:
        yield stack


StateOf = Annotated[ServiceState, Depends(_state_of)]
StoreOf = Annotated[LocalStore, Depends(_store)]
Name = Annotated[str, Depends(_checked_name)]
Number = Annotated[int, Path(ge=0, le=MAX_NUMBER, description="Number of the trial.", examples=[0])]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Return at most this many.")]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Skip this many.")]
Where = Annotated[
    str | None,
    Query(
        description="Return only trials that meet this condition.", examples=["optimizer == 'adam' and dropout < 0.3"]
    ),
]


def _page_response(request: Request, page: Page[Any], limit: int, offset: int) -> JSONResponse:
    headers = {"X-Total-Count": str(page.total)}
    if offset + len(page.items) < page.total and page.items:
        following = request.url.include_query_params(limit=limit, offset=offset + limit)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return JSONResponse([item.to_json() for item in page.items], headers=headers)


# ---- sweeps


@router.post(
    "/sweeps",
    status_code=201,
    response_model=schemas.SWEEP,
    openapi_extra={"requestBody": examples.SWEEP_FILE},
    responses={
        200: {"description": "The sweep was submitted before.", "model": schemas.SWEEP},
        201: examples.example_of(examples.SWEEP, "The sweep is new and waits for a worker."),
        **responses(401, 403, 408, 409, 413, 415, 422),
    },
)
async def submit(
    requester: Requester,
    sent: Annotated[bodies.Sent, Depends(bodies.sent)],
    service: StateOf,
    _: Annotated[None, ADMISSION],  # only now: a body may come slowly
) -> Response:
    """Queue a sweep. Submitting the same file again changes nothing."""
    kind, data = sent

    def put() -> Response:
        spec = bodies.sweep_file(data, kind)
        policy.check(spec, service.limits)
        sweep, is_new = service.store.put(spec, is_restricted=True, requested_by=requester)
        _log_change(sweep.name, "submitted", requester)
        return JSONResponse(sweep.to_json(), 201 if is_new else 200, {"Location": f"/sweeps/{sweep.name}"})

    return await run_in_threadpool(metered(put))


@router.get(
    "/sweeps",
    response_model=schemas.SWEEPS,
    dependencies=READING,
    responses={200: examples.example_of([examples.SWEEP], "Oldest first."), **responses(401, 422)},
)
def list_sweeps(
    request: Request,
    store: StoreOf,
    state: Annotated[SweepState | None, Query(description="Return only sweeps in this state.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Return sweeps, oldest first."""
    return _page_response(request, store.sweep_page(state, limit, offset), limit, offset)


@router.get(
    "/sweeps/{name}",
    response_model=schemas.SWEEP,
    dependencies=READING,
    responses={200: examples.example_of(examples.SWEEP), **responses(401, 404)},
)
def show(name: Name, store: StoreOf) -> Response:
    """Return one sweep."""
    return JSONResponse(store.sweep(name).to_json())


@router.delete(
    "/sweeps/{name}",
    dependencies=WRITING,
    responses={200: examples.example_of({"name": "digits", "is_gone": True}), **responses(401, 403, 404, 409)},
)
def delete(name: Name, store: StoreOf, requester: Requester) -> Response:
    """Delete a sweep with its trials and models; an idle worker then deletes its MLflow runs."""
    is_gone = store.delete(name, requested_by=requester)
    _log_change(name, "deleted", requester)
    return JSONResponse({"name": name, "is_gone": is_gone})


def _log_change(name: str, what: str, requester: str | None) -> None:
    log.info("sweep %s: %s by %s", name, what, requester or "somebody on this machine")


@router.post(
    "/sweeps/{name}/stop",
    dependencies=WRITING,
    responses={200: examples.example_of({"name": "digits", "is_stopping": True}), **responses(401, 403, 404)},
)
def stop(name: Name, store: StoreOf, requester: Requester) -> Response:
    """Stop a sweep that is running or waiting."""
    is_stopping = store.stop(name, requested_by=requester)
    _log_change(name, "stopped" if is_stopping else "asked to stop, but not running,", requester)
    return JSONResponse({"name": name, "is_stopping": is_stopping})


@router.post(
    "/sweeps/{name}/resume",
    response_model=schemas.SWEEP,
    dependencies=WRITING,
    responses={200: examples.example_of(examples.SWEEP), **responses(401, 403, 404, 409, 422)},
)
def resume(name: Name, service: StateOf, requester: Requester) -> Response:
    """Queue a sweep again that has trials left."""
    store = service.store
    policy.check(check(store.sweep(name).spec), service.limits)
    sweep = store.resume(name, is_restricted=True, requested_by=requester)
    _log_change(name, "resumed", requester)
    return JSONResponse(sweep.to_json())


@router.get(
    "/deleted-sweeps",
    response_model=list[DeletedSweep],
    dependencies=READING,
    responses={200: examples.example_of([examples.DELETED_SWEEP], "Oldest deletion first."), **responses(401, 422)},
)
def list_deleted(request: Request, store: StoreOf, limit: Limit = 100, offset: Offset = 0) -> Response:
    """Return what is kept of deleted sweeps: who submitted, stopped and deleted them, and when."""
    return _page_response(request, store.deleted_page(limit, offset), limit, offset)


# ---- trials


@router.get(
    "/sweeps/{name}/trials",
    response_model=schemas.TRIALS,
    dependencies=READING,
    responses={200: examples.example_of([examples.TRIAL]), **responses(401, 404, 422)},
)
def list_trials(  # noqa: PLR0913, PLR0917  a route's parameters are its arguments
    request: Request,
    name: Name,
    store: StoreOf,
    where: Where = None,
    order: Annotated[
        str,
        Query(
            max_length=40,
            description="Sort by this field; put `-` before it for descending order.",
            examples=["-value"],
        ),
    ] = "number",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Return the trials of a sweep, in all states."""
    return _page_response(request, store.trial_page(name, where, order, limit, offset), limit, offset)


@router.get(
    "/sweeps/{name}/trials/{number}",
    dependencies=READING,
    responses={200: examples.example_of(examples.TRIAL_WITH_CURVE), **responses(401, 404, 422)},
)
def show_trial(name: Name, number: Number, store: StoreOf) -> Response:
    """Return one trial with its curves; numbers that are not finite are strings."""
    trial, curve = store.trial_with_curve(name, number)
    return JSONResponse({**trial.to_json(), "curve": encode_curve(curve)})


@router.get(
    "/sweeps/{name}/best",
    response_model=schemas.TRIALS,
    dependencies=READING,
    responses={200: examples.example_of([examples.TRIAL], "Best first."), **responses(401, 404, 422)},
)
def best(
    name: Name,
    store: StoreOf,
    top: Annotated[
        int | None, Query(ge=1, le=MAX_NUMBER, description="Return at most this many; 5 by default.")
    ] = None,
    where: Where = None,
) -> Response:
    """Return the best trials of a sweep."""
    return JSONResponse([trial.to_json() for trial in store.best(name, top, where)])


@router.get(
    "/sweeps/{name}/answer",
    response_model=schemas.ANSWER,
    dependencies=READING,
    responses={200: examples.example_of(examples.ANSWER), **responses(401, 404)},
)
def answer(name: Name, store: StoreOf) -> Response:
    """Return what a sweep answers: its winner, what that is worth, and which techniques made the difference."""
    return JSONResponse(store.answer(name))


@router.get(
    "/sweeps/{name}/report",
    response_class=HTMLResponse,
    dependencies=READING,
    responses=responses(401, 404),
)
def report(name: Name, store: StoreOf) -> Response:
    """Return the report of a sweep: one page with its answer, charts and tables, which runs no script."""
    return HTMLResponse(store.report(name), headers={"Content-Security-Policy": REPORT_POLICY})


@router.get(
    "/sweeps/{name}/model",
    response_class=StreamingResponse,
    dependencies=READING,
    responses={
        200: {"description": "A Keras model.", "content": {"application/octet-stream": {}}},
        **responses(401, 404, 422),
    },
)
def model(
    name: Name,
    store: StoreOf,
    trial: Annotated[
        int | None,
        Query(ge=0, le=MAX_NUMBER, description="Number of the trial; the retrained winner, or the best, by default."),
    ] = None,
) -> Response:
    """Return the model of the retrained winner, or that of a trial with the weights of its best epoch."""
    file, called = store.open_model(name, trial)
    headers = {
        "Content-Length": str(os.fstat(file.fileno()).st_size),
        "Content-Disposition": f'attachment; filename="{called}"',
    }
    blocks = iter(partial(file.read, MODEL_BLOCK_BYTES), b"")
    media_type, close = "application/octet-stream", BackgroundTask(file.close)
    return StreamingResponse(blocks, headers=headers, media_type=media_type, background=close)


# ---- events


@router.get(
    "/sweeps/{name}/events",
    response_model=list[Event],
    responses={
        200: {
            "description": "Events as they happen, until the sweep ends; if only JSON is accepted, the events so far.",
            "content": {streams.MEDIA_TYPE: {"example": examples.STREAM}},
        },
        204: {"description": "The sweep has ended, and the reader has seen every event."},
        **responses(401, 404, 422, 503),
    },
)
async def events(  # noqa: PLR0913, PLR0917  likewise
    request: Request,
    name: Name,
    service: StateOf,
    token: Annotated[Token | None, Depends(require_reader)],
    until_sent: Annotated[AsyncExitStack, Depends(_until_sent)],
    accept: Annotated[str, Header()] = "*/*",
    last_event_id: Annotated[str, Header(description="Send only events after this one.")] = "",
    limit: Annotated[
        int | None,
        Query(ge=1, le=MAX_PAGE, description="Return at most this many as JSON, newest first; all by default."),
    ] = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Skip this many, if there is a limit.")] = 0,
) -> Response:
    """Stream what happens to a sweep: `event`, `progress`, and finally `end` or `deleted`."""
    async with service.quotas.request(token, request.scope):
        store = await _store(service)
        if limit is not None:
            page = metered(lambda: _page_response(request, store.event_page(name, limit, offset), limit, offset))
            return await run_in_threadpool(page)
        past = metered(lambda: JSONResponse([event.to_json() for event in store.events(name)]))
        if "application/json" in accept and streams.MEDIA_TYPE not in accept:
            return await run_in_threadpool(past)
        after = int(last_event_id) if re.fullmatch(r"[0-9]{1,15}", last_event_id) else 0
        sweep = await run_in_threadpool(store.sweep, name)
        if after and streams.has_ended(sweep):
            newer = await run_in_threadpool(store.events_after, sweep, after, 1)
            if not newer:
                return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.scope.get(IS_HEAD):  # nobody would read the events
        return StreamingResponse((), media_type=streams.MEDIA_TYPE, headers=headers)
    await until_sent.enter_async_context(service.quotas.stream(token, request.scope))
    known, run = streams.EventLog(store, name, after), partial(service.quotas.run, token)
    is_over = partial(_is_over, service, token)
    stream = streams.Stream(known, service.pollers, run, is_over)
    return StreamingResponse(stream.messages(), media_type=streams.MEDIA_TYPE, headers=headers)


def _is_over(service: ServiceState, token: Token | None) -> bool:
    """Return whether a stream of events must end: the service does, or the token of its reader did."""
    return service.is_closing() or not service.tokens.accepts(token)


# ---- the service itself


@router.get("/healthz", responses={200: examples.example_of({"status": "ok"})})
async def healthz() -> Mapping[str, str]:
    """Answer as long as the service is alive."""
    return {"status": "ok"}


@router.get("/readyz", responses={200: examples.example_of({"status": "ready"}), **responses(503)})
async def readyz(service: StateOf) -> Mapping[str, str]:
    """Return whether the ledger can be read. Anybody may ask, so only the log says why it cannot."""
    if not await service.readiness.check():
        raise RefusalError(503, "the ledger cannot be read; see the service's log for the reason")
    return {"status": "ready"}


@router.get(
    "/metrics",
    response_class=Response,
    dependencies=READING,
    responses={200: {"description": "Metrics in Prometheus's text format.", "content": {"text/plain": {}}}, **_PRIVATE},
)
def metrics(store: StoreOf, service: StateOf) -> Response:
    """Return metrics of the queue, trials, outbox and leases."""
    is_stale = service.tokens.error is not None
    return Response(prometheus.text(store.stats, is_token_file_stale=is_stale), media_type=prometheus.MEDIA_TYPE)
