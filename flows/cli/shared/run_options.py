"""The options that `plan` and `run` share: all options of a run."""

from dataclasses import dataclass
from typing import Annotated

import typer

from flows.cli.shared.groups import (
    Filters,
    GridOptions,
    HostOptions,
    ScratchOptions,
    VersionOptions,
    compute_of,
    profile_of,
)
from flows.cli.shared.options import (
    AllowMixed,
    ByPrefect,
    Catalogue,
    ClusterKind,
    ClusterProfileFile,
    Device,
    Json,
    Memory,
    Model,
    Out,
    Scheduler,
    Threads,
    Tls,
    Workers,
)
from flows.config import Compute, RunConfig, SceneConfig

RetryQuarantined = Annotated[
    bool, typer.Option("--retry-quarantined", help="Retry quarantined scenes.")
]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run. `plan` takes the same, so one word makes a run of a plan."""

    catalogue: Catalogue
    out: Out
    filters: Filters
    grid: GridOptions
    model: Model = None
    workers: Workers = None
    threads: Threads = None
    memory: Memory = None
    scheduler: Scheduler = None
    cluster: ClusterKind = None
    cluster_profile: ClusterProfileFile = None
    device: Device = "cpu"
    tls: Tls = False
    allow_mixed: AllowMixed = False
    hosts: HostOptions
    files: ScratchOptions
    version: VersionOptions
    retry_quarantined: RetryQuarantined = False
    prefect: ByPrefect = False
    as_json: Json = False

    def config(self) -> RunConfig:
        """Return the configuration of the run.

        Raises
        ------
        UsageError
            Options contradict each other or are out of range.
        """
        selection, compute = self.filters.of(self.catalogue), self._compute()
        grid = self.grid.grid()
        return RunConfig(
            selection=selection,
            out=self.out,
            scene=SceneConfig(
                model=self.model and self.model.absolute(),
                grid=grid,
                compute=compute,
                scratch=self.files.space(),
                allow_mixed=self.allow_mixed,
            ),
            mosaic=self.version.config(grid, self.filters.datetime, compute),
            retry_quarantined=self.retry_quarantined,
            politeness=self.hosts.politeness(),
        )

    def _compute(self) -> Compute:
        return compute_of(
            self.workers,
            self.scheduler,
            threads=self.threads,
            memory=self.memory,
            device=self.device,
            tls=self.tls,
            cluster=profile_of(self.cluster, self.cluster_profile),
        )
