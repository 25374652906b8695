"""Names of files and folders for what catalogues call their Items."""

import re
from hashlib import sha256

_MAX_NAME = 150


def file_name(identifier: str) -> str:
    """Return a safe name for folders and files, whatever a catalogue calls its Items.

    Letters, digits, dot, dash and underscore stay; anything else becomes an underscore and a digest
    of the id is appended, so that different ids keep different names. An empty id becomes the
    digest alone.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", identifier)[:_MAX_NAME]
    if safe and safe == identifier and not safe.startswith("."):
        return safe
    return f"{safe.lstrip('.')}-{sha256(identifier.encode()).hexdigest()[:12]}"
