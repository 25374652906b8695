"""Flow `maintain`: upkeep of a service; a shell around `flows.service.zombies`."""

from dataclasses import asdict
from typing import Any

from prefect import flow

from flows.service.zombies import end_zombies


@flow(name="maintain", persist_result=False, timeout_seconds=600)
def maintain() -> dict[str, Any]:
    """End runs whose process died without a word, so that their scenes are tried again.

    Returns
    -------
    dict
        The fields of `flows.service.zombies.Zombies`.
    """
    return asdict(end_zombies())
