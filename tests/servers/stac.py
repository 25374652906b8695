"""A small STAC API on the loopback interface, for tests of searching.

It serves a landing page, its collections and ``/search`` by GET and POST with `bbox`, `intersects`,
`datetime`, `collections`, `limit`, a `filter` of `updated`, and pages linked by ``next``. It
filters place by bounding box only and knows nothing of clouds and quality: what a server leaves
over is the client's to filter.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shapely.geometry import box, shape

Json = dict[str, Any]
_CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/collections",
]
FILTERS = [
    *_CONFORMS,
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
    "https://api.stacspec.org/v1.0.0/item-search#filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
]
"""What a server conforms to that also filters by `updated`."""


@dataclass
class StacServer:
    """State of a running server; tests change it between requests."""

    items: list[Json]
    url: str = ""
    page: int = 100
    """Most Items in one page."""
    failures: list[int] = field(default_factory=list)
    """Status codes to answer the next searches with, first to last."""
    conforms: list[str] = field(default_factory=lambda: list(_CONFORMS))
    requests: list[tuple[str, Json]] = field(default_factory=list)
    """Method and parameters of every search."""
    visits: list[str] = field(default_factory=list)
    """Path of every request."""

    def landing(self) -> Json:
        links = [
            {"rel": "self", "href": self.url},
            {"rel": "root", "href": self.url},
            {"rel": "search", "href": f"{self.url}/search", "method": "GET"},
            {"rel": "search", "href": f"{self.url}/search", "method": "POST"},
        ]
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "test-api",
            "description": "test",
            "conformsTo": self.conforms,
            "links": links if self.conforms else [],
        }

    def search(self, method: str, wanted: Json) -> Json:
        found = [item for item in self.items if _matches(item, wanted)]
        first = int(wanted.get("token", 0))
        size = min(int(wanted.get("limit", 10)), self.page)
        links = []
        if first + size < len(found):
            link: Json = {"rel": "next", "method": method, "href": f"{self.url}/search"}
            if method == "POST":
                link |= {"body": {**wanted, "token": first + size}}
            else:
                query = "&".join(f"{k}={v}" for k, v in {**wanted, "token": first + size}.items())
                link["href"] += f"?{query}"
            links.append(link)
        page = [self._served(item) for item in found[first : first + size]]
        return {"type": "FeatureCollection", "features": page, "links": links}

    def _served(self, item: Json) -> Json:
        address = f"{self.url}/collections/{item['collection']}/items/{item['id']}"
        links = [{"rel": "self", "href": address}, {"rel": "root", "href": self.url}]
        return {**item, "links": links}


def _matches(item: Json, wanted: Json) -> bool:
    if wanted.get("collections") and item["collection"] not in wanted["collections"]:
        return False
    boxes = item["bbox"]
    if "bbox" in wanted and not box(*boxes).intersects(box(*wanted["bbox"])):
        return False
    if "intersects" in wanted and not box(*boxes).intersects(shape(wanted["intersects"])):
        return False
    if "datetime" in wanted:
        ends = wanted["datetime"].split("/")
        first, last = ends[0], ends[-1]
        properties = item["properties"]
        start = properties.get("start_datetime") or properties["datetime"]
        end = properties.get("end_datetime") or properties["datetime"]
        if first != ".." and _time(end) < _time(first):
            return False
        if last != ".." and _time(start) > _time(last):
            return False
    return "filter" not in wanted or _holds(wanted["filter"], item["properties"])


def _holds(filter: Json, properties: Json) -> bool:
    """Whether a filter in CQL2 holds, as far as it is asked for."""
    operator, args = filter["op"], filter["args"]
    if operator in {"and", "or"}:
        return (all if operator == "and" else any)(_holds(each, properties) for each in args)
    value = properties.get(args[0]["property"])
    if operator == "isNull":
        return value is None
    assert operator == ">="
    return value is not None and _time(value) >= _time(args[1]["timestamp"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _handler(server: StacServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            wanted: Json = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if "bbox" in wanted:
                wanted["bbox"] = [float(value) for value in wanted["bbox"].split(",")]
            if "collections" in wanted:
                wanted["collections"] = wanted["collections"].split(",")
            self._answer(parts.path, "GET", wanted)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self._answer(self.path, "POST", json.loads(self.rfile.read(length)))

        def _answer(self, path: str, method: str, wanted: Json) -> None:
            server.visits.append(path)
            if path.rstrip("/") == "":
                return self._send(200, server.landing())
            if path == "/search":
                if server.failures:
                    return self._send(server.failures.pop(0), {"code": "refused"})
                server.requests.append((method, wanted))
                return self._send(200, server.search(method, wanted))
            for item in server.items:
                if path == f"/collections/{item['collection']}/items/{item['id']}":
                    return self._send(200, item)
            return self._send(404, {"code": "nothing here"})

        def _send(self, status: int, document: Json) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    return Handler


@contextmanager
def serving(items: list[Json], *, host: str = "127.0.0.1", port: int = 0) -> Iterator[StacServer]:
    """Serve Items until the block ends."""
    state = StacServer(items)
    http = ThreadingHTTPServer((host, port), _handler(state))
    http.daemon_threads = True
    state.url = f"http://{host}:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        thread.join(timeout=10)
        http.server_close()
