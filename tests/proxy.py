"""A proxy before MLflow's server that loses answers after the work was done, asks twice, refuses or hangs."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: How long a request hangs before its connection is cut; longer than MLflow's client is told to wait.
HANG_SECONDS = 20.0


class Fault(StrEnum):
    """What happens to a request."""

    NONE = "none"
    #: The server does what it is asked; its answer never arrives.
    LOST = "lost"
    #: The server is asked twice; its second answer is passed on.
    TWICE = "twice"
    #: The server is not asked; the answer is 500.
    ERROR = "error"
    #: The server is not asked; no answer ever arrives.
    HANG = "hang"


class Proxy:
    """Forwards requests to a server.

    Args:
        target: The server's address.
        chance: Which requests are disturbed.
    """

    def __init__(self, target: str, chance: random.Random) -> None:
        self._target = urlsplit(target).netloc
        self._chance = chance
        self._lock = threading.Lock()
        self.fault = Fault.NONE
        self.share = 1.0
        self._certain = ""
        self.lost: list[str] = []
        self.n_faults = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

        def answer(handler: Handler) -> None:  # a function, so that it becomes a method
            proxy.serve(handler)

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", answer)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def disturb(self, fault: Fault, share: float = 1.0, certain: str = "") -> None:
        """From now on let this happen to so many of all requests.

        Args:
            fault: What happens.
            share: To how many of all requests it happens.
            certain: End of a path; it happens to the first request of such a path in any case.
        """
        with self._lock:
            self.fault, self.share, self._certain = fault, share, certain

    def _draw(self, path: str) -> Fault:
        with self._lock:
            is_drawn = self._chance.random() < self.share
            if self._certain and urlsplit(path).path.endswith(self._certain):
                is_drawn, self._certain = True, ""
            fault = self.fault if is_drawn else Fault.NONE
            self.n_faults += fault is not Fault.NONE
            return fault

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request, or do not."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self._draw(request.path)
        if fault is Fault.HANG:
            time.sleep(HANG_SECONDS)
        if fault is Fault.HANG or (fault is Fault.LOST and self._forward(request, body) is not None):
            with self._lock:
                self.lost.append(urlsplit(request.path).path)
            request.close_connection = True
            return
        if fault is Fault.TWICE:
            self._forward(request, body)
        status, headers, content = (500, [], b"broken") if fault is Fault.ERROR else self._forward(request, body)
        request.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        with closing(HTTPConnection(self._target, timeout=60)) as connection:
            try:
                connection.request(request.command, request.path, body or None, headers)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except OSError as error:
                return 502, [], str(error).encode()

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
