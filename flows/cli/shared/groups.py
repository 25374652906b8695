"""Options that belong together: a group is one value, which becomes configuration.

What a field means says the help of its option. Configuration out of range is refused with a
`UsageError` that names the option.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from deepsalt.errors import UsageError
from flows.cli.shared.options import (
    AllowHost,
    Area,
    Bbox,
    Collections,
    Crs,
    Datetime,
    ExportKeep,
    ExportTo,
    Hold,
    HostLimit,
    HostShare,
    Limit,
    MaxAge,
    MaxCloud,
    MaxDefective,
    MaxLost,
    MaxMissing,
    MaxQuality,
    MaxSalinity,
    MaxShift,
    Resolution,
    ScratchFolder,
    ScratchGb,
)
from flows.cluster_profile import DEFAULT_PROFILE, ClusterProfile, read_profile
from flows.config import (
    Checks,
    Compute,
    Export,
    Grid,
    MosaicConfig,
    Politeness,
    Scratch,
    Selection,
    host_limits,
)


@dataclass(frozen=True)
class Filters:
    """Which scenes of a catalogue."""

    collection: Collections = None
    bbox: Bbox = None
    area: Area = None
    datetime: Datetime = None
    max_cloud: MaxCloud = None
    max_quality: MaxQuality = 1
    limit: Limit = None
    allow_host: AllowHost = None

    def of(self, catalogue: str) -> Selection:
        """Return the selection from a catalogue."""
        if self.bbox is not None and self.area is not None:
            raise UsageError("--bbox and --area exclude each other; give one of them")
        with named_by_option():
            return Selection(
                catalogue=catalogue,
                collections=tuple(self.collection or ()),
                bbox=_parse_bbox(self.bbox),
                area=self.area,
                datetime=self.datetime,
                max_cloud_pct=self.max_cloud,
                max_quality=self.max_quality,
                limit=self.limit,
                allow_hosts=tuple(self.allow_host or ()),
            )


@dataclass(frozen=True)
class GridOptions:
    """Which grid a mosaic has."""

    crs: Crs = None
    resolution: Resolution = None

    def grid(self) -> Grid:
        """Return the grid."""
        with named_by_option():
            return Grid(crs=self.crs, resolution_m=self.resolution)


@dataclass(frozen=True)
class ScratchOptions:
    """Where the files of remote scenes are kept meanwhile."""

    scratch: ScratchFolder = None
    scratch_gb: ScratchGb = 8.0

    def space(self) -> Scratch:
        """Return the scratch space."""
        with named_by_option():
            return Scratch(
                folder=self.scratch and self.scratch.absolute(), limit_gb=self.scratch_gb
            )


@dataclass(frozen=True)
class HostOptions:
    """How much hosts are asked."""

    host_limit: HostLimit = None
    host_share: HostShare = 1.0

    def politeness(self) -> Politeness:
        """Return the politeness."""
        with named_by_option():
            return Politeness(hosts=host_limits(self.host_limit or ()), share=self.host_share)


@dataclass(frozen=True)
class ContentLimits:
    """What a mosaic may hold."""

    max_missing: MaxMissing = 100.0
    max_defective: MaxDefective = 50.0
    max_salinity: MaxSalinity = None
    max_age: MaxAge = None

    def checks(self, max_lost: float = 20.0, max_shift: float = 2.0) -> Checks:
        """Return the checks of a mosaic, or of a version with how it may differ from others."""
        with named_by_option():
            return Checks(
                max_missing_pct=self.max_missing,
                max_defective_pct=self.max_defective,
                max_salinity_ds_m=self.max_salinity,
                max_age_days=self.max_age,
                max_lost_pct=max_lost,
                max_shift=max_shift,
            )


@dataclass(frozen=True)
class VersionOptions:
    """Which versions of a mosaic are published, and where they are exported to."""

    limits: ContentLimits
    max_lost: MaxLost = 20.0
    max_shift: MaxShift = 2.0
    hold: Hold = False
    export: ExportTo = None
    export_keep: ExportKeep = None

    def config(self, grid: Grid, datetime: str | None, compute: Compute) -> MosaicConfig:
        """Return the settings of the mosaic."""
        checks = self.limits.checks(self.max_lost, self.max_shift)
        with named_by_option():
            export = Export(to=self.export, keep=self.export_keep)
        return MosaicConfig(
            grid=grid,
            datetime=datetime,
            checks=checks,
            hold=self.hold,
            export=export,
            compute=compute,
        )


def _parse_bbox(text: str | None) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north, degrees."""
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--bbox is W,S,E,N in degrees, such as 83.9,40.8,84.1,40.95; found {text!r}"
        ) from None
    return west, south, east, north


def compute_of(
    workers: int | None,
    scheduler: str | None,
    *,
    threads: int | None = None,
    memory: str | None = None,
    device: str = "cpu",
    tls: bool = False,
    cluster: ClusterProfile | None = None,
) -> Compute:
    """Return the computing that these options describe.

    Raises
    ------
    UsageError
        More than one of workers, a scheduler and a cluster; TLS without workers; or a memory that
        is not a size.
    """
    if (workers is not None) + (scheduler is not None) + (cluster is not None) > 1:
        raise UsageError(
            "--workers, --scheduler and --cluster exclude each other; give one of them"
        )
    if cluster is not None and (threads is not None or memory is not None):
        raise UsageError(
            "--threads and --memory are those of this machine; give threads and memory in the "
            "groups of the cluster profile"
        )
    if tls and workers is None:
        raise UsageError(
            "--tls needs --workers; for a scheduler give its tls:// address, and its certificates "
            "in Dask's configuration"
        )
    with named_by_option():
        return Compute.model_validate(
            {
                "workers": workers,
                "threads": threads,
                "memory": memory,
                "scheduler": scheduler,
                "device": device,
                "tls": tls,
                "cluster": cluster,
            }
        )


def profile_of(kind: str | None, profile: Path | None) -> ClusterProfile | None:
    """Return the profile of the cluster that these options describe; None without one.

    Raises
    ------
    UsageError
        Another kind of cluster, a profile for none, or one that cannot be read.
    """
    if kind is None and profile is None:
        return None
    if kind not in (None, "kubernetes"):
        raise UsageError(f"--cluster is kubernetes; found {kind!r}")
    return read_profile(profile or Path(DEFAULT_PROFILE).expanduser())


OPTIONS_OF_FIELDS = {
    "share": "--host-share",
    "allow_hosts": "--allow-host",
    "collections": "--collection",
    "limit_gb": "--scratch-gb",
    "max_age_days": "--max-age",
    "max_cloud_pct": "--max-cloud",
    "max_defective_pct": "--max-defective",
    "max_lost_pct": "--max-lost",
    "max_missing_pct": "--max-missing",
    "max_salinity_ds_m": "--max-salinity",
    "resolution_m": "--resolution",
    "folder": "--scratch",
    "keep": "--export-keep",
    "to": "--export",
}
"""Options named otherwise than their fields in the configuration, which carry units."""


@contextmanager
def named_by_option() -> Iterator[None]:
    """Refuse a configuration with the first of its errors, as one sentence on the option.

    Raises
    ------
    UsageError
        The configuration is refused.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        option = OPTIONS_OF_FIELDS.get(field, f"--{field.replace('_', '-')}")
        raise UsageError(f"{option} cannot be {first['input']!r}: {first['msg'].lower()}") from None
