"""Formatting of results that several verbs print alike."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

_SHOWN = 3
"""Further names to show when many share a reason; `--json` has all."""


def plain(text: str, most: int = 200) -> str:
    """Return foreign text without terminal control characters, cut to a maximum length."""
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
    return safe if len(text) <= most else f"{safe}..."


def said_once(reasons: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return each reason once, with the first of its names, and with the others in the sentence.

    Reasons are the same if they differ only in the name itself, or in paths.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, reason in reasons:
        # Reasons may name a scene by its acquisition alone, the middle of its key.
        own = re.escape(name.split("/")[1]) if name.count("/") == 2 else re.escape(name)
        key = re.sub(rf"\S*/\S*|\S*(?<!\w){own}(?!\w)\S*", "*", reason)
        alike.setdefault(key, []).append((plain(name), plain(reason, 2000)))
    said = []
    for (first, reason), *others in alike.values():
        same = ""
        if others:
            names = [name for name, _ in others]
            shown = [*names[:_SHOWN], f"{len(names) - _SHOWN} more"][: len(names)]
            same = f"; the same applies to {', '.join(shown)} ({len(names) + 1} in all)"
        said.append((first, reason + same))
    return said


def size(count_bytes: float) -> str:
    """Return a size with a unit that keeps it readable."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """Return a time span in a readable unit."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def other_files(place: str | Path, *ours: str) -> str | None:
    """Return a sentence on a folder that has files but none of ours; None for any other place."""
    folder = Path(place)
    try:
        names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    except OSError:  # reported by what writes there
        return None
    if not names or set(ours).intersection(names):
        return None
    shown = ", ".join(plain(name, 40) for name in names[:3]) + (" ..." if len(names) > 3 else "")
    return f"{folder} holds other files ({shown}); they are kept"


def place(*parts: object) -> str:
    """Return a path or URI quoted for a shell."""
    return shlex.quote("/".join(str(part).rstrip("/") for part in parts))


def share(part: int, whole: int) -> str:
    """Return a share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def gain(added: int, removed: int) -> str:
    """Return how many scene products a mosaic gained and lost."""
    return f"+{added} -{removed}"
