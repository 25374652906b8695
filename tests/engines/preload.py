"""What a test wants to happen inside a process of a cluster: `DEEPSALT_TEST_PRELOAD` says it.

Dask loads this module first. In a scheduler nothing of deepsalt is imported.
"""

import json
import os

from tests.engines import tricks


def dask_setup(_: object) -> None:
    """Play the tricks that the environment names: a JSON object of name and arguments."""
    for name, arguments in json.loads(os.environ.get("DEEPSALT_TEST_PRELOAD", "{}")).items():
        getattr(tricks, name)(*arguments)
