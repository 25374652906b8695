"""What tests do inside other processes: pretend to be something else, and strike in a stage."""

import sys
from typing import Any


def version(number: str) -> None:
    """Be of another version of deepsalt."""
    import flows.engines.station as station

    station.__version__ = number


def algorithm(number: int) -> None:
    """Have another algorithm."""
    import deepsalt.products as products

    products.ALGORITHM_VERSION = number


def device(name: str) -> None:
    """Pretend to have a device."""
    import deepsalt.mapping as mapping
    import deepsalt.model.platform as platform

    platform.platform = mapping.platform = lambda _: name


def dask_version(number: str) -> None:
    """Be of another version of Dask."""
    from distributed import scheduler

    found = scheduler.get_versions()

    def versions(*_: Any) -> dict[str, Any]:
        return {**found, "packages": {**found["packages"], "distributed": number}}

    scheduler.get_versions = versions


def without_deepsalt() -> None:
    """Have no deepsalt installed."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("flows", "deepsalt")]:
        del sys.modules[name]
    sys.modules["flows"] = sys.modules["deepsalt"] = None  # type: ignore[assignment]


def small_disk(free_bytes: int) -> None:
    """Have little room for scratch files."""
    import shutil
    from types import SimpleNamespace

    shutil.disk_usage = lambda _: SimpleNamespace(free=free_bytes)  # type: ignore[assignment]
