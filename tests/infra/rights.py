"""Who may do what, as the docs list it."""

import re

from tests.infra.rendering import ROOT

Rights = dict[tuple[str, str], set[str]]
"""Verbs of each Role by its name and resource."""


def documented() -> Rights:
    """Return the rights of the table in the docs."""
    text = (ROOT / "docs" / "kubernetes" / "manifests.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(deepsalt-[a-z-]+)` \| `([a-z/]+)` \| ([a-z, ]+) \|", text, re.M)
    return {(role, resource): set(verbs.split(", ")) for role, resource, verbs in rows}
