"""The options that `plan` and `run` share: all options of a run."""

from collections.abc import Callable
from typing import Annotated

import typer

from flows.cli.shared.options import (
    AllowHost,
    AllowMixed,
    Area,
    Bbox,
    ByPrefect,
    Catalogue,
    ClusterKind,
    ClusterProfileFile,
    Collections,
    Crs,
    Datetime,
    Device,
    ExportKeep,
    ExportTo,
    Hold,
    Json,
    Limit,
    MaxAge,
    MaxCloud,
    MaxDefective,
    MaxLost,
    MaxMissing,
    MaxQuality,
    MaxSalinity,
    MaxShift,
    Model,
    Out,
    Resolution,
    Scheduler,
    ScratchFolder,
    ScratchGb,
    Threads,
    Workers,
    checks_of,
    compute_of,
    export_of,
    grid_option,
    politeness_of,
    profile_of,
    scratch_of,
    selection_of,
)
from flows.config import MosaicConfig, RunConfig, SceneConfig

Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory of one worker, such as `4GB`. A run that needs more is refused. Default: an "
        "equal share of the memory."
    ),
]
Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Encrypt and authenticate the traffic of --workers with certificates of this run.",
    ),
]
HostLimit = Annotated[
    list[str] | None,
    typer.Option(
        "--host-limit",
        metavar="HOST=N[,MB/s]",
        help="Maximum connections and MB/s to a host, for all workers together. May be repeated. "
        "Default: what its archive allows; 10 connections if unknown.",
    ),
]
HostShare = Annotated[
    float,
    typer.Option(
        "--host-share",
        help="Share of each host's limit that this run takes, 0 to 1, if several runs share a "
        "host.",
    ),
]
RetryQuarantined = Annotated[
    bool, typer.Option("--retry-quarantined", help="Retry quarantined scenes.")
]


def of_a_run(action: Callable[[RunConfig, bool, bool], None]) -> Callable[..., None]:
    """Return a verb with the options of a run that calls `action(config, by_prefect, as_json)`.

    `plan` and `run` take the same options, so that a plan becomes a run by changing one word.
    """

    def verb(
        catalogue: Catalogue,
        out: Out,
        collection: Collections = None,
        bbox: Bbox = None,
        area: Area = None,
        datetime: Datetime = None,
        max_cloud: MaxCloud = None,
        max_quality: MaxQuality = 1,
        limit: Limit = None,
        allow_host: AllowHost = None,
        crs: Crs = None,
        resolution: Resolution = None,
        model: Model = None,
        workers: Workers = None,
        threads: Threads = None,
        memory: Memory = None,
        scheduler: Scheduler = None,
        cluster: ClusterKind = None,
        cluster_profile: ClusterProfileFile = None,
        device: Device = "cpu",
        tls: Tls = False,
        allow_mixed: AllowMixed = False,
        host_limit: HostLimit = None,
        host_share: HostShare = 1.0,
        scratch: ScratchFolder = None,
        scratch_gb: ScratchGb = 8.0,
        max_missing: MaxMissing = 100.0,
        max_defective: MaxDefective = 50.0,
        max_salinity: MaxSalinity = None,
        max_age: MaxAge = None,
        max_lost: MaxLost = 20.0,
        max_shift: MaxShift = 2.0,
        hold: Hold = False,
        export: ExportTo = None,
        export_keep: ExportKeep = None,
        retry_quarantined: RetryQuarantined = False,
        prefect: ByPrefect = False,
        as_json: Json = False,
    ) -> None:
        selection = selection_of(
            catalogue,
            collection=collection,
            datetime=datetime,
            bbox=bbox,
            area=area,
            max_cloud=max_cloud,
            max_quality=max_quality,
            limit=limit,
            allow_host=allow_host,
        )
        compute = compute_of(
            workers,
            scheduler,
            threads=threads,
            memory=memory,
            device=device,
            tls=tls,
            cluster=profile_of(cluster, cluster_profile),
        )
        grid = grid_option(crs, resolution)
        model = model and model.absolute()
        checks = checks_of(
            max_missing,
            max_defective,
            max_salinity,
            max_age,
            max_lost=max_lost,
            max_shift=max_shift,
        )
        place = scratch_of(scratch, scratch_gb)
        mosaic = MosaicConfig(
            grid=grid,
            datetime=datetime,
            checks=checks,
            hold=hold,
            export=export_of(export, export_keep),
            compute=compute,
        )
        config = RunConfig(
            selection=selection,
            out=out,
            scene=SceneConfig(
                model=model,
                grid=grid,
                compute=compute,
                scratch=place,
                allow_mixed=allow_mixed,
            ),
            mosaic=mosaic,
            retry_quarantined=retry_quarantined,
            politeness=politeness_of(host_limit, host_share),
        )
        action(config, prefect, as_json)

    verb.__doc__ = action.__doc__
    return verb
