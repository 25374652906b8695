"""How results read: what several verbs write in the same way."""

import shlex
from pathlib import Path


def plain(text: str, most: int = 200) -> str:
    """Return a foreign text without what a terminal obeys, and not longer than that."""
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
    return safe if len(text) <= most else f"{safe}..."


def size(count_bytes: float) -> str:
    """Return a size with a unit that keeps it readable."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """Return a time span the way people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def other_files(folder: Path, *ours: str) -> str | None:
    """Return a sentence on a folder with files, where none is one of ours; None for any other."""
    try:
        names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    except OSError:  # said by what writes there
        return None
    if not names or set(ours).intersection(names):
        return None
    shown = ", ".join(plain(name, 40) for name in names[:3]) + (" ..." if len(names) > 3 else "")
    return f"{folder} holds other files ({shown}), which are kept"


def place(*parts: object) -> str:
    """Return a path or URI as a shell takes it."""
    return shlex.quote("/".join(str(part).rstrip("/") for part in parts))


def share(part: int, whole: int) -> str:
    """Return a share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def gain(added: int, removed: int) -> str:
    """Return how many scene products a mosaic gained and lost."""
    return f"+{added} -{removed}"
