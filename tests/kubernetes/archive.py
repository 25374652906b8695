"""A STAC API in a pod, which publishes the scenes of a bucket one by one."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.kubernetes.cluster import Manifest, Space
from tests.kubernetes.images import SERVICE
from tests.kubernetes.pods import pod, pod_spec
from tests.servers import stac

_POD, _PORT = "stac", 8000
# The server is that of other tests; a file named after an Item publishes it.
_SERVE = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, "/program")
from stac import serving
known = {path.stem: json.loads(path.read_text()) for path in Path("/items").glob("*.json")}
with serving([], host="0.0.0.0", port=PORT) as state:
    state.url = "URL"
    while True:
        names = [path.name.removesuffix(".published") for path in Path("/tmp").glob("*.published")]
        state.items = [known[name] for name in sorted(names)]
        time.sleep(0.1)
"""


@dataclass(frozen=True)
class Archive:
    """A STAC API that pods reach.

    Parameters
    ----------
    space
        Its namespace.
    names
        Of its Items, in the order of the scenes.
    """

    space: Space
    names: Sequence[str]

    @property
    def url(self) -> str:
        return f"http://{_POD}.{self.space.name}.svc:{_PORT}"

    @property
    def address(self) -> str:
        """The address that a run by hand has to be allowed; a watch's runs are by its catalogue."""
        return str(self.space.get("Service", _POD)["spec"]["clusterIP"])

    def publish(self, number: int) -> str:
        """Let the catalogue have the Item of a scene; its URL."""
        name = self.names[number]
        self.space.run(_POD, "touch", f"/tmp/{name}.published")
        (item,) = [each for each in self._items() if each["id"] == name]
        return f"{self.url}/collections/{item['collection']}/items/{name}"

    def _items(self) -> "list[dict[str, str]]":
        documents = self.space.get("ConfigMap", "items")["data"].values()
        return [json.loads(each) for each in documents]


@contextmanager
def publishing(catalogue: Path, space: Space) -> Iterator[Archive]:
    """Serve the Items of a catalogue's folder, none of which is published yet."""
    items = {}
    for path in sorted(catalogue.rglob("*.json")):
        document = json.loads(path.read_text())
        if document["type"] == "Feature":
            document["properties"]["updated"] = datetime.now(UTC).isoformat()
            items[document["id"]] = document
    archive = Archive(space, tuple(items))
    program = _SERVE.replace("PORT", str(_PORT)).replace("URL", archive.url)
    space.make(
        {
            "kind": "ConfigMap",
            "metadata": {"name": "items"},
            "data": {f"{name}.json": json.dumps(each) for name, each in items.items()},
        },
        {
            "kind": "ConfigMap",
            "metadata": {"name": "program"},
            "data": {"stac.py": Path(stac.__file__).read_text()},
        },
        _opened(),
        {
            "kind": "Service",
            "metadata": {"name": _POD},
            "spec": {
                "selector": {"app.kubernetes.io/component": "archive"},
                "ports": [{"port": _PORT}],
            },
        },
        pod(
            _POD,
            pod_spec(
                SERVICE,
                [program],
                command=["python", "-c"],
                volumes={
                    "/items": {"configMap": {"name": "items"}},
                    "/program": {"configMap": {"name": "program"}},
                },
                container={
                    "readinessProbe": {
                        "httpGet": {"path": "/", "port": _PORT},
                        "periodSeconds": 1,
                    }
                },
            ),
            component="archive",
        ),
    )
    space.wait(lambda: space.is_ready(_POD), "the catalogue is not ready", patience_s=120.0)
    yield archive


def _opened() -> Manifest:
    """Return the policy that lets all pods of the namespace and the server reach each other."""
    server = {"matchLabels": {"app.kubernetes.io/component": "archive"}}
    ports = [{"protocol": "TCP", "port": _PORT}]
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": "archive"},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}], "ports": ports}],
            "egress": [{"to": [{"podSelector": server}], "ports": ports}],
        },
    }
