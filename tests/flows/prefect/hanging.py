"""`process-scene` with a timeout of seconds, which hangs before its product counts."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

from deepsalt import mapping
from flows.prefect import deadline
from flows.prefect.scene import process_scene as usual

LONG_S = 600.0


def hang(*_: object) -> None:
    """Wait, as Python code of ours does; a signal ends it."""
    time.sleep(LONG_S)


def hang_in_a_thread(*_: object) -> None:
    """Wait for a thread in a library's call, also when this is interrupted."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, LONG_S).result()


deadline.GRACE_S = 4.0
process_scene = usual.with_options(timeout_seconds=15)
vars(mapping)["mark_done"] = {"here": hang, "in a thread": hang_in_a_thread}[os.environ["HANGS"]]
