"""The images that pods are made of, and whether they hold the sources of this checkout."""

import json
import os
from hashlib import sha256
from pathlib import Path

from tests.kubernetes.cluster import Space
from tests.kubernetes.pods import pod, pod_spec

WORKER = os.environ.get("DEEPSALT_TEST_IMAGE_WORKER", "localhost/deepsalt:worker")
SERVICE = os.environ.get("DEEPSALT_TEST_IMAGE_SERVICE", "localhost/deepsalt:service")
READER = os.environ.get("DEEPSALT_TEST_IMAGE_READER", "localhost/deepsalt:reader")
POSTGRES = os.environ.get("DEEPSALT_TEST_IMAGE_POSTGRES", "localhost/postgres:test")
S3 = os.environ.get("DEEPSALT_TEST_IMAGE_S3", "localhost/seaweedfs:test")

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("deepsalt", "catalog", "flows")
# What is installed, as Python finds it; a file of the image that differs is named.
_DIGESTS = """
import hashlib, importlib.util, json, pathlib
found = {}
for package in %r:
    root = pathlib.Path(importlib.util.find_spec(package).origin).parent
    for path in root.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(root.parent).as_posix()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
print(json.dumps(found))
"""


def stale_files(space: Space, image: str) -> list[str]:
    """Return the files of deepsalt that are not in an image as they are in this checkout."""
    name = "sources"
    ask = pod_spec(image, ["-c", _DIGESTS % (_PACKAGES,)], command=["python"])
    space.make(pod(name, ask))
    space.wait(
        lambda: space.get("Pod", name)["status"]["phase"] in ("Succeeded", "Failed"),
        f"the image {image} does not run; `tests/kubernetes/prepare.sh` builds it",
        patience_s=180.0,
    )
    said = space.said(name)
    space.delete("Pod", name, grace_s=0)
    installed: dict[str, str] = json.loads(said.splitlines()[-1])
    modules = {
        path.relative_to(_ROOT).as_posix()
        for package in _PACKAGES
        for path in (_ROOT / package).rglob("*.py")
    }
    return sorted(
        name for name in modules | {*installed} if installed.get(name) != _digest(_ROOT / name)
    )


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None
