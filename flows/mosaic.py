"""Flow `build-mosaic`: scene products of a store to its mosaic. A shell around `flows.stage2`."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import stage2
from flows.config import MosaicConfig
from flows.retries import may_pass


@task(
    name="mosaic",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def make_mosaic(out: str, config: MosaicConfig) -> stage2.MosaicResult:
    """Composite and publish; see `flows.stage2.build_mosaic`."""
    return stage2.build_mosaic(out, config)


@flow(name="build-mosaic", flow_run_name="mosaic-{out}", persist_result=False)
def build_mosaic(out: str, config: MosaicConfig | None = None) -> dict[str, Any]:
    """Composite the complete scene products of a store and publish the mosaic.

    Parameters
    ----------
    out
        Folder of the store.
    config
        Grid and period; the grid of the store, else EPSG:6933 at 30 m, without it.

    Returns
    -------
    dict
        The fields of `flows.stage2.MosaicResult`.
    """
    return asdict(make_mosaic(out, config or MosaicConfig()))
