"""What a service keeps: one TOML file, or nothing for a service that waits for orders."""

import re
import tomllib
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from deepsalt.errors import UsageError
from flows.config import (
    Compute,
    MosaicConfig,
    SceneConfig,
    Selection,
    StorePlace,
    WatchConfig,
    WatchSettings,
)
from flows.service.pods import Pods

DEFAULT_FILE = "~/deepsalt/service.toml"
"""Where the configuration lies if no other place is given."""

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _cron(text: str) -> str:
    """Return a schedule, checked: minute, hour, day of month, month, day of week."""
    try:
        CronSim(text, _SOME_DAY)
    except CronSimError:
        raise ValueError(
            f"{text!r} is not a schedule; give minute, hour, day of month, month and day of week, "
            "such as '7 * * * *'"
        ) from None
    return text


class WatchPlan(WatchSettings):
    """A watch of the service, and when it looks."""

    every: str = Field("7 * * * *", description="when it looks: cron, in the service's time zone")

    _every_is_cron = field_validator("every")(_cron)


class MosaicPlan(_Closed):
    """A mosaic that is built on schedule, besides after new scenes."""

    every: str = Field(
        description="when it is built: cron, in the service's time zone", examples=["0 4 1 * *"]
    )
    config: MosaicConfig = MosaicConfig()

    _every_is_cron = field_validator("every")(_cron)


def _both_watch(one: Selection, other: Selection) -> str:
    """Return what two selections have in common; empty if nothing."""
    if one.catalogue != other.catalogue:
        return ""
    mine, theirs = one.collections, other.collections
    common = [each for each in mine or theirs if not theirs or each in theirs]
    if common:
        return f"collection {common[0]}"
    return "" if mine or theirs else "all collections"


class ServiceConfig(_Closed):
    """A service: its runs are processes of its machine, or pods of a cluster."""

    store: StorePlace = Field(
        "~/deepsalt/store", validate_default=True, description="where the products go"
    )
    folder: Path = Field(
        Path("~/deepsalt/service"), description="where databases and logs of the service lie"
    )
    database: str | None = Field(
        None,
        description="PostgreSQL for the server and the ledger, postgresql://user@host/database, "
        "without a password; default: SQLite files in the folder",
    )
    host: str = Field("127.0.0.1", description="address that the server listens on")
    port: int = Field(4200, ge=1, le=65535, description="port of the server and its pages")
    metrics_port: int = Field(4201, ge=1, le=65535, description="port of /metrics and /store")
    time_zone: str = Field(
        "UTC", description="time zone of all schedules", examples=["Europe/Rome"]
    )
    scenes_at_once: int = Field(2, ge=1, description="maximum number of scenes at work")
    keep_days: int = Field(30, ge=1, description="how long the server remembers runs, days")
    scene: SceneConfig = SceneConfig()
    watch: tuple[WatchPlan, ...] = ()
    mosaic: tuple[MosaicPlan, ...] = ()
    kubernetes: Pods | None = Field(
        None, description="pods that runs are; default: processes of this machine"
    )

    @field_validator("folder")
    @classmethod
    def _resolve_home(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, ZoneInfoNotFoundError):
            raise ValueError(
                f"{name!r} is not a time zone; give one such as UTC or Europe/Rome"
            ) from None
        return name

    @model_validator(mode="after")
    def _watches_differ(self) -> Self:
        names = [each.name for each in self.watch]
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"a watch is named {name!r}; use small letters, digits and hyphens"
                )
        if len(set(names)) < len(names):
            raise ValueError("two watches have one name; they would share a watermark")
        for one, other in combinations(self.watch, 2):
            both = _both_watch(one.selection, other.selection)
            if both:
                raise ValueError(
                    f"watches {one.name} and {other.name} both watch {both} of "
                    f"{one.selection.catalogue}; keep one of them"
                )
        return self

    @model_validator(mode="after")
    def _pods_reach_what_they_need(self) -> Self:
        if self.kubernetes is None:
            return self
        if self.is_private:
            raise ValueError(
                f"host is {self.host}, which pods cannot reach, and their runs report to the "
                'server; give host = "0.0.0.0"'
            )
        if "://" not in self.store:
            raise ValueError(
                f"store is the folder {self.store}, which pods do not share; give a bucket such "
                "as s3://bucket/prefix"
            )
        return self

    @property
    def api(self) -> str:
        """Address of the server's API."""
        return f"{self.pages}/api"

    @property
    def pages(self) -> str:
        """Address of the server's pages."""
        return self._address(self.port)

    @property
    def own_pages(self) -> str:
        """Address of what the service answers itself: /metrics and /store."""
        return self._address(self.metrics_port)

    @property
    def is_private(self) -> bool:
        """Whether this machine alone reaches the server."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:  # a name
            return self.host == "localhost"

    @property
    def single_scene(self) -> SceneConfig:
        """Settings of a scene in a run of its own; as many threads as its pod has cores."""
        return self.scene.model_copy(
            update={"compute": self.computing("process-scene", self.scene.compute)}
        )

    def computing(self, flow: str, compute: Compute) -> Compute:
        """Return what computes in the run of a flow: a pod sees all cores of its node."""
        if self.kubernetes is None or compute.threads is not None:
            return compute
        return compute.model_copy(update={"threads": self.kubernetes.size_of(flow).threads})

    @property
    def watches(self) -> tuple[WatchConfig, ...]:
        """The watches as their flow takes them."""
        return tuple(
            WatchConfig(
                **each.model_dump(exclude={"every"}), out=self.store, scene=self.single_scene
            )
            for each in self.watch
        )

    def _address(self, port: int) -> str:
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def read_config(file: Path | None) -> ServiceConfig:
    """Return the configuration in a TOML file; the default one if no file is given or at home.

    Raises
    ------
    UsageError
        The file is missing, is not TOML, or says something that no service has.
    """
    path = (file or Path(DEFAULT_FILE)).expanduser()
    if file is None and not path.is_file():
        return ServiceConfig()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give another file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML ({error}); correct it") from None
    return parse_config(document, str(path))


def parse_config(document: dict[str, Any], name: str) -> ServiceConfig:
    """Return a configuration, or say in one sentence what is wrong with it.

    Raises
    ------
    UsageError
        It says something that no service has.
    """
    try:
        return ServiceConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "it"
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{name}: there is no setting {field}; check its spelling") from None
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{name}: {field}: {reason}") from None
