"""Other machines that share a folder: they do not see this one's locks, only its leases."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from deepsalt.store import lease


@contextmanager
def elsewhere(*, waits_s: float) -> Iterator[None]:
    """Run the block, each thread as on another machine that waits so long for a renewal."""

    def machine() -> str:
        return f"machine-{threading.get_ident()}"

    with (
        patch.object(lease, "_machine", machine),
        patch.object(lease.fcntl, "flock", lambda descriptor, how: None),
        patch.object(lease, "EXPIRES_AFTER_S", waits_s),
    ):
        yield
