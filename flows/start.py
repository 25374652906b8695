"""Starts a run, directly or through Prefect; the only place that knows both ways."""

from flows.config import RunConfig
from flows.pipeline import RunResult, run
from flows.progress import Progress


def start_run(config: RunConfig, *, by_prefect: bool, progress: Progress) -> RunResult:
    """Run `config`; Prefect is imported only when asked for."""
    if not by_prefect:
        return run(config, progress=progress)
    from flows.prefect_run import run_flows

    return run_flows(config, progress)
