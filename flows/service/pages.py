"""What a service answers beside Prefect's pages: metrics, and Items and pictures of its store.

Nothing can be changed here, and there is no password: on another host than this machine anybody who
reaches it reads what a service does, costs and maps. On this machine alone it goes by the names of
this machine alone, or any page in a browser could give its own name our address and read all of it.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server
from prometheus_client.registry import Collector

from deepsalt.errors import DeepsaltError, MissingObjectError, RunError, UsageError
from deepsalt.objects import Objects

_SHOWN = re.compile(r"/store/((?:catalog|collections/.+)\.json|(?:quicklook|pictures/.+)\.png)")
"""Paths of what artifacts link to; the rest of a store, such as its records, is nobody's page."""

_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    (  # browsers show a picture in a page of their own, with a style of their own
        "Content-Security-Policy",
        "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ),
]
_PORT = re.compile(r":\d+$")
_Answer = tuple[str, str, bytes]  # status, type, content


@contextmanager
def serve_pages(
    collector: Collector, objects: Objects, port: int, *, host: str = "127.0.0.1"
) -> Iterator[int]:
    """Answer ``/metrics`` and ``/store/KEY`` until the block ends; yield the port.

    Parameters
    ----------
    collector
        Computes the metrics.
    objects
        The store.
    port
        Where to listen; 0 takes a free port.
    host
        Address to listen at.

    Raises
    ------
    RunError
        The port is taken, or the address is not one of this machine.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise RunError(
            f"metrics cannot be served at {host}:{port} ({error.strerror}); give another port"
        ) from None
    names = {"localhost", "127.0.0.1", "[::1]", host.lower(), f"[{host.lower()}]"}
    is_own = ip_address(str(server.server_address[0])).is_loopback
    server.set_app(_application(make_wsgi_app(registry), objects, names if is_own else None))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _application(
    metrics: WSGIApplication, objects: Objects, names: set[str] | None
) -> WSGIApplication:
    """Return what answers requests; `names` are those of hosts that it goes by, None for any."""

    def answer(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        method, path, extra = request["REQUEST_METHOD"], request["PATH_INFO"], []
        if names and _PORT.sub("", request.get("HTTP_HOST", "")).lower() not in names:
            status, kind, content = _refusal("421 Misdirected Request")
        elif path == "/metrics":
            return metrics(request, start)
        elif method not in ("GET", "HEAD"):
            status, kind, content = _refusal("405 Method Not Allowed")
            extra = [("Allow", "GET, HEAD")]
        else:
            status, kind, content = _object(objects, path)
        length = ("Content-Length", str(len(content)))
        start(status, [("Content-Type", kind), length, *_HEADERS, *extra])
        return [] if method == "HEAD" else [content]

    return answer


def _object(objects: Objects, path: str) -> _Answer:
    try:
        # WSGI gives bytes as letters of Latin-1, unquoted once.
        found = _SHOWN.fullmatch(path.encode("latin-1").decode())
        if found is None or _leads_out(objects, found[1]):
            return _refusal("404 Not Found")
        kind = "image/png" if path.endswith(".png") else "application/json"
        return "200 OK", kind, objects.read(found[1])
    except (UnicodeDecodeError, UsageError, MissingObjectError):  # no text, no key, no object
        return _refusal("404 Not Found")
    except DeepsaltError:  # its sentence names places of this machine
        return _refusal("503 Service Unavailable")


def _leads_out(objects: Objects, key: str) -> bool:
    """Return whether a key, once valid, is a link to a file outside of its folder."""
    full = objects.location.full(key)
    if not objects.is_local:
        return False
    return not Path(os.path.realpath(full)).is_relative_to(os.path.realpath(objects.path))


def _refusal(status: str) -> _Answer:
    return status, "text/plain; charset=utf-8", f"{status}\n".encode()
