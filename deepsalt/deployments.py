"""Prefect's flows as entrypoints of deployments, found wherever a worker runs.

Prefect imports an entrypoint with the working directory first on the path, which may contain a
user's package `flows`.
"""

from deepsalt.own_packages import load_beside

load_beside()

from flows.prefect.backfill import backfill_archive  # noqa: E402 - only now they are ours
from flows.prefect.maintain import maintain  # noqa: E402
from flows.prefect.mosaic import build_mosaic  # noqa: E402
from flows.prefect.scene import process_scene  # noqa: E402
from flows.prefect.scenes import map_scenes  # noqa: E402
from flows.prefect.train import train_model  # noqa: E402
from flows.prefect.validate import validate  # noqa: E402
from flows.prefect.watch import watch  # noqa: E402

__all__ = [
    "backfill_archive",
    "build_mosaic",
    "maintain",
    "map_scenes",
    "process_scene",
    "train_model",
    "validate",
    "watch",
]
