"""Write the locks of the images: every package of a role with its one version.

    python infra/images/lock.py

Run it in the environment that `make` installs, after a change of the extras or of
`constraints.txt`. A lock holds what the role's extras need, directly or not, on the platform that
it is written on. torch and what only a GPU build of it needs are no part: `TORCH` says them.
"""

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROLES = {
    "reader": ["deepsalt"],
    "worker": ["deepsalt[kubernetes]"],
    "service": ["deepsalt[service]"],
    "tools": ["cyclonedx-bom"],
}
"""What each role installs; `tools` are for the build alone."""

OLDEST = "3.11.0"
"""A base image may have any Python from this one on."""
OF_OLDER = {"async-timeout"}
"""Packages that only a Python older than this one needs, so they are not installed here; none of
them needs another."""


def pins() -> dict[str, str]:
    """Return the requirement line of each package of `constraints.txt`, by canonical name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(line.split("==")[0]): line for line in lines if line[0] != "#"}


def needed(requirements: Iterable[str]) -> set[str]:
    """Return the canonical names of what requirements need, directly or not."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(requirement) for requirement in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name in OF_OLDER:
                further = []
            elif name != "deepsalt":
                further = distribution(name).requires or []
            elif extra:
                further = extras["optional-dependencies"][extra]
            else:
                further = extras["dependencies"]
            waiting += [each for each in map(Requirement, further) if applies(each, extra)]
    return {name for name, _ in seen} - {"deepsalt"}


def applies(requirement: Requirement, extra: str) -> bool:
    """Return whether a requirement counts here or there, and for an extra of its package."""
    if requirement.marker is None:
        return True
    older = requirement.marker.evaluate({"extra": extra, "python_full_version": OLDEST})
    return requirement.marker.evaluate({"extra": extra}) or older


def lock(role: str) -> str:
    """Return the text of a role's lock.

    Raises
    ------
    KeyError
        `constraints.txt` does not pin a package.
    """
    pinned = pins()
    lines = [pinned[name] for name in sorted(needed(ROLES[role]) - {"torch"})]
    return "# Written by infra/images/lock.py.\n" + "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    for each in ROLES:
        (HERE / f"{each}.txt").write_text(lock(each))
