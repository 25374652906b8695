"""Configuration of a run: frozen, closed models that the command and the Prefect flows share.

A field name that does not exist is refused, so that a typing error in a deployment's parameters
fails at once instead of running with a default.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    field_validator,
)

from deepsalt.access import HostLimit, Reach, checked_hosts, limit_of
from deepsalt.access.archives import MB, without_port
from deepsalt.errors import UsageError


def local_folder(path: Path | str) -> Path:
    """Return a path with ``~`` resolved.

    Raises
    ------
    UsageError
        A URL: as a path it would become a local folder named after its scheme.
    """
    # A Path drops one of two slashes.
    text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", r"\1://", str(path))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise UsageError(f"{text!r} is a URL, and this is read and written here; give a path")
    return Path(text).expanduser()


def place_of(text: str | Path) -> str:
    """Return a store's place as everybody here writes it: a whole path, or a URI.

    Raises
    ------
    UsageError
        It cannot hold a store.
    """
    from deepsalt.objects import Objects

    objects = Objects.of(text)
    return str(objects.path) if objects.is_local else objects.uri


StorePlace = Annotated[str, AfterValidator(place_of)]
"""A folder, or a bucket's URI."""

NOWHERE = "none"
"""What is given for an export that is not wanted."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Selection(_Closed):
    """Which scenes of a catalogue take part."""

    catalogue: str = Field(description="folder of a STAC catalogue, or URL of a STAC API")
    collections: tuple[str, ...] = Field((), description="STAC collection ids; none means all")
    bbox: tuple[float, float, float, float] | None = Field(
        None, description="west, south, east, north, degrees WGS84"
    )
    area: Path | None = Field(None, description="GeoJSON file with the area of interest")
    datetime: str | None = Field(None, description="RFC 3339 date, or range A/B, UTC")
    max_cloud_pct: float | None = Field(None, ge=0, le=100, description="cloud cover, percent")
    max_quality: int = Field(1, ge=0, le=2, description="worst provider quality: 0 nominal, 2 low")
    limit: int | None = Field(None, gt=0, description="scenes at most")
    allow_hosts: tuple[str, ...] = Field(
        (), description="hosts, or host:port, that the catalogue may send us to besides its own"
    )

    @field_validator("catalogue")
    @classmethod
    def _resolve_home(cls, catalogue: str) -> str:
        return str(Path(catalogue).expanduser()) if catalogue.startswith("~") else catalogue


class Access(_Closed):
    """Whom we talk to on the word of Items; public servers alone, unless more is named.

    A run sets it for its scenes from the catalogue that it searched.
    """

    networks: tuple[str, ...] = Field(
        (), description="private networks or addresses that Items may name, too"
    )
    allow_hosts: tuple[str, ...] = Field((), description="hosts, or host:port, that Items may name")

    @classmethod
    def of(cls, reach: Reach) -> "Access":
        """Return what a search found, for the scenes it found."""
        return cls(networks=tuple(sorted(reach.networks)), allow_hosts=tuple(sorted(reach.hosts)))

    @property
    def reach(self) -> Reach:
        """The same for those who talk; the catalogue's host is one as any here."""
        return Reach(frozenset(self.networks), checked_hosts(self.allow_hosts))


class Compute(_Closed):
    """What computes the chunks of a scene and the tiles of a mosaic."""

    workers: int | None = Field(
        None, ge=1, description="local worker processes; none means threads in this process"
    )
    threads: int | None = Field(
        None, ge=1, description="chunks a worker computes at a time; none means its share of cores"
    )
    memory: ByteSize | None = Field(
        None, gt=0, description="memory of one worker, such as 4GB; none means its share of what is"
    )
    scheduler: str | None = Field(None, description="address of a running Dask scheduler")
    tls: bool = Field(
        False, description="local worker processes talk with certificates made for the run"
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="what workers predict on; their CPU where there is no such device"
    )


class Grid(_Closed):
    """Grid of the mosaic; what is not given is the store's, else EPSG:6933 at 30 m."""

    crs: str | None = Field(None, description="projected CRS in metres")
    resolution_m: float | None = Field(None, gt=0, description="cell size, metres")


class Scratch(_Closed):
    """Where the files of remote scenes lie while they are worked on."""

    folder: Path | None = Field(
        None, description="scratch folder; none means the system's for temporary files"
    )
    limit_gb: float = Field(8.0, gt=0, description="size of the scratch space, GB")


class HostLimitConfig(_Closed):
    """What a host allows all workers of all runs together."""

    connections: int = Field(ge=1, description="connections at a time")
    mb_per_s: float | None = Field(
        None, ge=0.001, allow_inf_nan=False, description="MB per second; none means no limit"
    )

    @property
    def limit(self) -> HostLimit:
        """The same for those who divide it."""
        rate = None if self.mb_per_s is None else self.mb_per_s * MB
        return HostLimit(self.connections, rate)


class Politeness(_Closed):
    """How much of providers' archives a run uses."""

    hosts: Mapping[str, HostLimitConfig] = Field(
        {}, description="limits by host, host:port or s3://bucket, instead of those we know of"
    )
    share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="this run's part of what each host allows; runs that share a host divide it, "
        "e.g. 0.5 each",
    )

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: Mapping[str, HostLimitConfig]) -> Mapping[str, HostLimitConfig]:
        return {_host_name(name): limit for name, limit in hosts.items()}

    def limit_of(self, host: str) -> HostLimit:
        """Return what this run may use of a host, which `host_of` named; a name is for all ports.

        A run has one connection at least: runs that divide fewer connections than they are use
        more than the host allows.
        """
        named = self.hosts.get(host) or self.hosts.get(without_port(host))
        return (named.limit if named else limit_of(host)).part(self.share)


_HOST = re.compile(r"(\w+://[\w.-]+|\[[0-9a-f:.]+\](:\d+)?|[\w.-]+(:\d+)?)")


def _host_name(text: str) -> str:
    """Return a host as `host_of` names it.

    Raises
    ------
    UsageError
        It is none.
    """
    name = text.strip().lower()
    if not _HOST.fullmatch(name) or name.startswith(("http://", "https://")):
        raise UsageError(
            f"a host's limit is for a name such as data.example.org, data.example.org:8080 or "
            f"s3://bucket; found {text!r}"
        )
    return name.removesuffix(":443").removesuffix(":80")


def host_limits(texts: Iterable[str]) -> dict[str, HostLimitConfig]:
    """Parse limits of hosts as ``NAME=CONNECTIONS`` or ``NAME=CONNECTIONS,MB/s``.

    Raises
    ------
    UsageError
        A text that is none, or two for one host.
    """
    limits: dict[str, HostLimitConfig] = {}
    for text in texts:
        name, _, limit = text.rpartition("=")
        connections, comma, rate = limit.partition(",")
        try:
            found = HostLimitConfig(
                connections=int(connections), mb_per_s=float(rate) if comma else None
            )
        except ValueError:  # pydantic's is one, too
            raise UsageError(
                f"--host-limit is NAME=CONNECTIONS or NAME=CONNECTIONS,MB/s with 1 connection and "
                f"0.001 MB/s at least, such as data.example.org=4,20; found {text!r}"
            ) from None
        host = _host_name(name)
        if host in limits:
            raise UsageError(f"--host-limit has two limits for {host}; give one")
        limits[host] = found
    return limits


class SceneConfig(_Closed):
    """What shapes one scene product."""

    model: Path | None = Field(None, description="model folder; none means the shipped model")
    grid: Grid = Grid()
    compute: Compute = Compute()
    scratch: Scratch = Scratch()
    access: Access = Field(
        Access(), description="whom one scene may send us to; a run takes it from its catalogue"
    )
    allow_mixed: bool = Field(
        False, description="let a store hold products of machines that round otherwise"
    )


class Checks(_Closed):
    """Limits beyond which a mosaic fails and is not published."""

    max_missing_pct: float = Field(
        100.0, ge=0, le=100, description="measured pixels of a tile without an estimate, percent"
    )
    max_defective_pct: float = Field(
        50.0, ge=0, le=100, description="those without a reason in clouds, water or plants, percent"
    )
    max_salinity_ds_m: float | None = Field(
        None, gt=0, description="salinity and its interval, dS/m; none means the model's own limit"
    )
    max_age_days: float | None = Field(
        None, ge=0, description="age of the newest scene with an estimate, days; none means any"
    )


class Export(_Closed):
    """Where a published mosaic is written to as plain Zarr."""

    to: str | None = Field(
        None,
        description="folder or URI, or `none`; without, mosaic.zarr in a store that is a folder, "
        "while the mosaic is under 2 GB",
    )
    keep: int | None = Field(
        None, ge=1, description="exported versions that stay in a bucket; none means all"
    )

    @field_validator("to")
    @classmethod
    def _is_a_place(cls, to: str | None) -> str | None:
        """Refuse what is no place, or holds credentials, before anything is done."""
        return to if to in (None, NOWHERE) else place_of(to)


class MosaicConfig(_Closed):
    """What shapes the mosaic."""

    grid: Grid = Grid()
    datetime: str | None = Field(
        None, description="period of the mosaic, A/B; none means one period over all dates"
    )
    checks: Checks = Checks()
    hold: bool = Field(False, description="let the version wait until a person publishes it")
    export: Export = Export()
    compute: Compute = Compute()


class RunConfig(_Closed):
    """A whole run: scenes of a catalogue to a mosaic."""

    selection: Selection
    out: StorePlace = Field(description="store: a folder, or s3://, gs:// or az:// and a prefix")
    scene: SceneConfig = SceneConfig()
    mosaic: MosaicConfig = MosaicConfig()
    politeness: Politeness = Politeness()
    retry_quarantined: bool = Field(False, description="try scenes again that could never work")
