"""Manifests of `infra/kubernetes` as kustomize renders them."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "kubernetes"
OVERLAYS = FOLDER / "overlays"
Manifest = dict[str, Any]

_KUSTOMIZE = (5, 0)


def _kinds() -> dict[Path, str]:
    found = sorted(FOLDER.rglob("kustomization.yaml"))
    return {each.parent: yaml.safe_load(each.read_text(encoding="utf-8"))["kind"] for each in found}


WHOLE = tuple(path for path, kind in _kinds().items() if kind == "Kustomization")
"""Folders that can be applied by themselves."""
COMPONENTS = tuple(path for path, kind in _kinds().items() if kind == "Component")
"""Folders that an overlay takes in."""
ALL = (*WHOLE, *COMPONENTS)


def name_of(folder: Path) -> str:
    """Return a folder's name for people."""
    return str(folder.relative_to(FOLDER))


@cache
def needs_kustomize() -> None:
    """Skip the test where no kubectl knows kustomize 5."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on PATH renders the manifests")
    asked = ["kubectl", "version", "--client", "-o", "json"]
    found = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    version = str(found.get("kustomizeVersion", "v0.0"))
    numbers = tuple(int(each) for each in re.findall(r"\d+", version)[:2])
    if numbers < _KUSTOMIZE:
        pytest.skip(f"kubectl's kustomize is {version}; the manifests need 5.0 or newer")


@cache
def rendered(folder: Path) -> tuple[Manifest, ...]:
    """Return the documents of a folder; those of a component with the overlay `local`."""
    needs_kustomize()
    if folder not in COMPONENTS:
        return _render(folder)
    return written_as({"resources": [OVERLAYS / "local"], "components": [folder]})


def written_as(kustomization: dict[str, Any]) -> tuple[Manifest, ...]:
    """Return the documents of a kustomization of a user's own, with folders as absolute paths."""
    needs_kustomize()
    with tempfile.TemporaryDirectory() as made:
        # kustomize takes relative paths only, from where the folder really is.
        top = Path(made).resolve()
        folders = {
            field: [os.path.relpath(each, top) for each in kustomization.get(field, [])]
            for field in ("resources", "components")
        }
        text = json.dumps(kustomization | folders)
        (top / "kustomization.yaml").write_text(text, encoding="utf-8")
        return _render(top)


def _render(folder: Path) -> tuple[Manifest, ...]:
    run = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    if run.returncode:
        raise AssertionError(f"{folder} cannot be rendered: {run.stderr}")
    return tuple(each for each in yaml.safe_load_all(run.stdout) if each)


def of_kind(folder: Path, *kinds: str) -> list[Manifest]:
    """Return the documents of some kinds in a folder."""
    return [each for each in rendered(folder) if each["kind"] in kinds]


def templates(documents: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Yield the pods that documents make: a name for people, and the pod's template."""
    for each in documents:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if each["kind"] == "Pod":
            yield f"Pod {each['metadata']['name']}", each
        elif "containers" in spec.get("template", {}).get("spec", {}):
            yield f"{each['kind']} {each['metadata']['name']}", spec["template"]


def named(folder: Path, kind: str, name: str) -> Manifest:
    """Return one document of a folder."""
    (found,) = [each for each in of_kind(folder, kind) if each["metadata"]["name"] == name]
    return found
