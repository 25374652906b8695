"""Configuration of a run: frozen, closed models shared by the command and the Prefect flows.

An unknown field name is refused, so that a typo in a deployment's parameters fails at once instead
of running with a default.
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
    model_validator,
)

from deepsalt.access import HostLimit, Reach, checked_hosts, is_web, limit_of, without_secrets
from deepsalt.access.archives import MB, without_port
from deepsalt.errors import UsageError
from flows.cluster_profile import SCRATCH, ClusterProfile


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
        raise UsageError(
            f"{text!r} is a URL, but only a local file or folder works here; give a path"
        )
    return Path(text).expanduser()


def place_of(text: str | Path) -> str:
    """Return a store's location in canonical form: an absolute path, or a URI.

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

_FOR_FILES = 0.9
"""Part of a scratch volume that files of scenes may take; a pod with more is evicted."""

NOWHERE = "none"
"""Value that switches the export off."""


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Selection(_Closed):
    """Which scenes of a catalogue take part."""

    catalogue: str = Field(description="folder of a STAC catalogue, or URL of a STAC API")
    collections: tuple[str, ...] = Field((), description="STAC collection ids; default: all")
    bbox: tuple[float, float, float, float] | None = Field(
        None, description="west, south, east, north, degrees WGS84"
    )
    area: Path | None = Field(None, description="GeoJSON file with the area of interest")
    datetime: str | None = Field(None, description="RFC 3339 date, or range A/B, UTC")
    max_cloud_pct: float | None = Field(
        None, ge=0, le=100, description="maximum cloud cover, percent; default: any"
    )
    max_quality: int = Field(1, ge=0, le=2, description="worst provider quality: 0 nominal, 2 low")
    limit: int | None = Field(None, gt=0, description="maximum number of scenes; default: all")
    allow_hosts: tuple[str, ...] = Field(
        (), description="hosts, or host:port, that the catalogue may refer to besides its own"
    )

    @field_validator("catalogue")
    @classmethod
    def _resolve_home(cls, catalogue: str) -> str:
        return str(Path(catalogue).expanduser()) if catalogue.startswith("~") else catalogue


class Access(_Closed):
    """Hosts that Items may refer to: public servers, and those named here.

    A run derives it from the catalogue that it searched.
    """

    networks: tuple[str, ...] = Field(
        (), description="private networks or addresses that Items may also name"
    )
    allow_hosts: tuple[str, ...] = Field((), description="hosts, or host:port, that Items may name")

    @classmethod
    def of(cls, reach: Reach) -> "Access":
        """Return the access of a search, for the scenes that it found."""
        return cls(networks=tuple(sorted(reach.networks)), allow_hosts=tuple(sorted(reach.hosts)))

    @property
    def reach(self) -> Reach:
        """The same as a `Reach`; the catalogue's host has no special role here."""
        return Reach(frozenset(self.networks), checked_hosts(self.allow_hosts))


class Compute(_Closed):
    """What computes the chunks of a scene and the tiles of a mosaic."""

    workers: int | None = Field(
        None, ge=1, description="number of local worker processes; default: threads in this process"
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="chunks that a worker computes at a time; default: an equal share of the cores",
    )
    memory: ByteSize | None = Field(
        None,
        gt=0,
        description="memory of one worker, such as 4GB; default: an equal share of the memory",
    )
    scheduler: str | None = Field(None, description="address of a running Dask scheduler")
    cluster: ClusterProfile | None = Field(
        None, description="cluster that the run makes on Kubernetes for itself, and removes"
    )
    tls: bool = Field(
        False, description="encrypt traffic of local workers with certificates made for the run"
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="device to predict on; workers that lack it use their CPU"
    )

    @property
    def predicts_on(self) -> str:
        """Device of the workers that map scenes: a GPU where a group of the cluster has some."""
        groups = () if self.cluster is None else self.cluster.groups
        return "cuda" if any(each.gpus and each.maps for each in groups) else self.device


class Grid(_Closed):
    """Grid of the mosaic. Default: the store's; EPSG:6933 at 30 m for a new store."""

    crs: str | None = Field(None, description="projected CRS in metres")
    resolution_m: float | None = Field(None, gt=0, description="cell size, metres")


class Scratch(_Closed):
    """Where the files of remote scenes are kept while they are processed."""

    folder: Path | None = Field(
        None, description="scratch folder; default: the system's temporary folder"
    )
    limit_gb: float = Field(8.0, gt=0, description="size of the scratch space, GB")


class HostLimitConfig(_Closed):
    """What a host allows to all workers of all runs together."""

    connections: int = Field(ge=1, description="maximum connections at a time")
    mb_per_s: float | None = Field(
        None, ge=0.001, allow_inf_nan=False, description="maximum rate, MB/s; default: no limit"
    )

    @property
    def limit(self) -> HostLimit:
        """The same as a `HostLimit`."""
        rate = None if self.mb_per_s is None else self.mb_per_s * MB
        return HostLimit(self.connections, rate)


class Politeness(_Closed):
    """How much of what providers' archives allow a run uses."""

    hosts: Mapping[str, HostLimitConfig] = Field(
        {}, description="limits by host, host:port or s3://bucket, overriding the built-in ones"
    )
    share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of each host's limit that this run takes; runs that share a host "
        "divide it, such as 0.5 each",
    )

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: Mapping[str, HostLimitConfig]) -> Mapping[str, HostLimitConfig]:
        return {_host_name(name): limit for name, limit in hosts.items()}

    def limit_of(self, host: str) -> HostLimit:
        """Return this run's limit for a host as `host_of` names it; a bare name covers all ports.

        A run has at least one connection: if more runs share a host than it allows connections,
        together they exceed its limit.
        """
        named = self.hosts.get(host) or self.hosts.get(without_port(host))
        return (named.limit if named else limit_of(host)).part(self.share)


_HOST = re.compile(r"(\w+://[\w.-]+|\[[0-9a-f:.]+\](:\d+)?|[\w.-]+(:\d+)?)")


def _host_name(text: str) -> str:
    """Return a host as `host_of` names it.

    Raises
    ------
    UsageError
        The text is not a host.
    """
    name = text.strip().lower()
    if not _HOST.fullmatch(name) or name.startswith(("http://", "https://")):
        raise UsageError(
            f"a host's limit needs a name such as data.example.org, data.example.org:8080 or "
            f"s3://bucket; found {text!r}"
        )
    return name.removesuffix(":443").removesuffix(":80")


def host_limits(texts: Iterable[str]) -> dict[str, HostLimitConfig]:
    """Parse limits of hosts as ``NAME=CONNECTIONS`` or ``NAME=CONNECTIONS,MB/s``.

    Raises
    ------
    UsageError
        A text is malformed, or a host has two limits.
    """
    limits: dict[str, HostLimitConfig] = {}
    for text in texts:
        name, _, limit = text.rpartition("=")
        connections, comma, rate = limit.partition(",")
        try:
            found = HostLimitConfig(
                connections=int(connections), mb_per_s=float(rate) if comma else None
            )
        except ValueError:  # includes pydantic's
            raise UsageError(
                f"--host-limit is NAME=CONNECTIONS or NAME=CONNECTIONS,MB/s with at least 1 "
                f"connection and 0.001 MB/s, such as data.example.org=4,20; found {text!r}"
            ) from None
        host = _host_name(name)
        if host in limits:
            raise UsageError(f"--host-limit has two limits for {host}; give one")
        limits[host] = found
    return limits


class SceneConfig(_Closed):
    """Settings of one scene product."""

    model: Path | None = Field(None, description="model folder; default: the shipped model")
    grid: Grid = Grid()
    compute: Compute = Compute()
    scratch: Scratch = Scratch()
    access: Access = Field(
        Access(),
        description="hosts that a single scene may refer to; a run derives them from its catalogue",
    )
    allow_mixed: bool = Field(
        False, description="allow products of machines that round differently in one store"
    )

    @property
    def scratch_of_workers(self) -> Scratch:
        """Where workers keep files of remote scenes: in pods, on most of their scratch volume."""
        cluster = self.compute.cluster
        if cluster is None:
            return self.scratch
        return Scratch(folder=Path(SCRATCH, "files"), limit_gb=cluster.scratch_gb * _FOR_FILES)


class Checks(_Closed):
    """Limits beyond which a mosaic fails and is not published, or is held for a person."""

    max_missing_pct: float = Field(
        100.0,
        ge=0,
        le=100,
        description="maximum share of a tile's measured pixels without an estimate, percent",
    )
    max_defective_pct: float = Field(
        50.0,
        ge=0,
        le=100,
        description="maximum share of pixels missing for no known reason, percent",
    )
    max_salinity_ds_m: float | None = Field(
        None,
        gt=0,
        description="maximum salinity, upper bound included, dS/m; default: the model's own limit",
    )
    max_age_days: float | None = Field(
        None,
        ge=0,
        description="maximum age of the newest scene with an estimate, days; default: any",
    )
    max_lost_pct: float = Field(
        20.0,
        ge=0,
        le=100,
        description="maximum share of a tile's estimates that a version may lose, percent; one "
        "that loses more is held for a person; 100: never",
    )
    max_shift: float = Field(
        2.0,
        gt=1,
        description="maximum factor by which the salinity of a tile may move from version to "
        "version; one that moves more is held for a person",
    )


class Export(_Closed):
    """Export of a published mosaic as plain Zarr."""

    to: str | None = Field(
        None,
        description="folder, URI or `none`; default: mosaic.zarr in a store that is a folder, up "
        "to 2 GB",
    )
    keep: int | None = Field(
        None, ge=1, description="number of exported versions to keep in a bucket; default: all"
    )

    @field_validator("to")
    @classmethod
    def _is_a_place(cls, to: str | None) -> str | None:
        """Refuse an invalid location, or one with credentials, before anything is done."""
        return to if to in (None, NOWHERE) else place_of(to)


class MosaicConfig(_Closed):
    """Settings of the mosaic."""

    grid: Grid = Grid()
    datetime: str | None = Field(
        None, description="period of the mosaic, A/B; default: one period over all dates"
    )
    checks: Checks = Checks()
    hold: bool = Field(False, description="hold the version back until it is published by hand")
    export: Export = Export()
    compute: Compute = Compute()


class RunConfig(_Closed):
    """Settings of a whole run, from the scenes of a catalogue to a mosaic."""

    selection: Selection
    out: StorePlace = Field(description="store: a folder, or s3://, gs:// or az:// and a prefix")
    scene: SceneConfig = SceneConfig()
    mosaic: MosaicConfig = MosaicConfig()
    politeness: Politeness = Politeness()
    retry_quarantined: bool = Field(False, description="retry quarantined scenes")
    most: int | None = Field(
        None, ge=1, description="maximum number of scenes that this run maps; default: all"
    )


class BudgetConfig(_Closed):
    """What new scenes of a store may take; a watch submits none beyond it.

    What every run into the store took counts, and what is under way as far as it can be foreseen.
    """

    period: Literal["day", "month", "total"] = Field(
        "month", description="of which a limit is: a day or month of UTC, or all time"
    )
    scenes: int | None = Field(None, ge=0, description="scenes mapped or tried; default: any")
    gb: float | None = Field(None, ge=0, description="data fetched, GB; default: any")
    hours: float | None = Field(None, ge=0, description="time of workers, hours; default: any")
    money: float | None = Field(None, ge=0, description="money by the prices given; default: any")
    price_per_hour: float = Field(0.0, ge=0, description="price of an hour of a worker")
    price_per_gb: float = Field(0.0, ge=0, description="price of a GB fetched")
    currency: str = Field("EUR", max_length=10, description="name of the currency")

    @model_validator(mode="after")
    def _has_a_price(self) -> "BudgetConfig":
        """Refuse a limit of money that nothing would ever reach."""
        if self.money is not None and not (self.price_per_hour or self.price_per_gb):
            raise UsageError(
                "a budget of money needs price_per_hour or price_per_gb; without a price nothing "
                "is ever spent"
            )
        return self


class WatchSettings(_Closed):
    """What is watched, and how."""

    name: str = Field(
        description="name of the watch: two of one name share a watermark", examples=["enmap"]
    )
    selection: Selection
    overlap_h: float = Field(
        48, gt=0, description="how far each pass looks back behind the watermark, hours"
    )
    attempts: int = Field(3, ge=1, description="how often a scene is submitted")
    wait_min: float = Field(
        30,
        gt=0,
        description="wait before a failed scene's next attempt, minutes, doubled each time",
    )
    most: int = Field(500, ge=1, description="maximum number of submissions per pass")
    budget: BudgetConfig | None = Field(
        None, description="what new scenes of the store may take; default: anything"
    )

    @model_validator(mode="after")
    def _can_be_watched(self) -> "WatchSettings":
        """Refuse a selection that would hide scenes for ever, or show a password."""
        catalogue = self.selection.catalogue
        if self.selection.limit is not None:
            raise UsageError(
                f"watch {self.name} has a limit in its selection, and would never see the scenes "
                "beyond it; give most or a budget instead"
            )
        if is_web(catalogue) and without_secrets(catalogue) != catalogue:
            raise UsageError(
                f"the catalogue of watch {self.name} has a user or query in its URL, which "
                "all who see its runs could read; use a profile of docs/access.md"
            )
        return self


class WatchConfig(WatchSettings):
    """A watch, where the products of its acquisitions go, and what maps them."""

    out: StorePlace = Field(description="store: a folder, or s3://, gs:// or az:// and a prefix")
    scene: SceneConfig = SceneConfig()
    ledger: str | None = Field(
        None,
        description="database of submissions, without a password: sqlite:///path or "
        "postgresql://user@host/database; default: that of the service",
        examples=["sqlite:////var/lib/deepsalt/ledger.sqlite"],
    )
    deployment: str = Field(
        "process-scene/local", description="deployment that maps one scene, flow/name"
    )
    build: str | None = Field(
        "build-mosaic/local",
        description="deployment that builds the mosaic when scenes are in",
    )


class UpkeepConfig(_Closed):
    """What the upkeep of a service keeps."""

    keep_days: int = Field(30, ge=1, description="how long the server remembers runs, days")
    grace_days: int = Field(
        2, ge=0, description="days that the server's own upkeep has beyond that, days"
    )
    scratch: Path | None = Field(
        None, description="folder of scratch files; default: the system's temporary folder"
    )


class ValidateConfig(_Closed):
    """What is judged, and when an operator is told."""

    watch: WatchConfig | None = Field(
        None,
        description="the watch whose collections and store are judged, besides the last runs; "
        "default: none",
    )
    reconcile_days: float = Field(
        7, gt=0, description="days between comparisons of all scenes with the catalogue"
    )
    quarantined_per_week: int = Field(
        3, ge=0, description="number of scenes that may be quarantined in a week without an alert"
    )
    repeat_h: float = Field(
        24, gt=0, description="hours until a lasting alert is told again, doubled each time"
    )

    @property
    def name(self) -> str:
        """What is judged, in a word."""
        return self.watch.name if self.watch else "runs"


class TrainingConfig(_Closed):
    """Tables of spectra with labels, and the model that is trained on them."""

    out: Path = Field(description="folder of the model, its card and report")
    laboratory: tuple[str, ...] = Field(
        (), description="laboratory spectra: TABLE or TABLE@SENSOR", examples=[["lab.csv"]]
    )
    satellite: tuple[str, ...] = Field(
        (), description="satellite spectra with labels: TABLE@SENSOR", examples=[["f.csv@enmap"]]
    )
    unlabelled: tuple[str, ...] = Field(
        (), description="satellite spectra without labels: TABLE@SENSOR"
    )
    infrared: tuple[Path, ...] = Field(
        (), description="mid-infrared absorbance of laboratory samples"
    )
    group: str | None = Field(None, description="column of groups to keep in one fold")
    region: str | None = Field(None, description="column of regions to leave out in turn")
    ec: str = Field("ec_ds_m", description="column of the electrical conductivity")
    ec_unit: str | None = Field(None, description="unit of the labels: dS/m, mS/m or uS/cm")
    ec_method: str = Field("mixed or unknown", description="method of the labels, such as ECe")
    suspect: str | None = Field(None, description="column that marks rows to skip")
    licence: str = Field("not stated", description="licence of the tables")
    attribution: str = Field("", description="who is to be named")
    name: str = Field("own", description="name of the model")
    settings: Path | None = Field(None, description="TOML file with settings of the training")
    seed: int | None = Field(None, description="seed; default: that of the settings")
    evaluate: bool = Field(True, description="score it with groups and regions left out")
    quick: bool = Field(False, description="fewer folds and inducing points, for a first look")
