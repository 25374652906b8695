"""The profile of a cluster that runs make on Kubernetes: image, groups of workers, prices.

One TOML file per cluster; `deepsalt run`, `deepsalt plan` and the flows read the same one.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, model_validator

from deepsalt.errors import UsageError

DEFAULT_PROFILE = "~/deepsalt/cluster.toml"
"""Where the profile lies if no other place is given."""

SCRATCH = "/scratch"
"""Where a worker's scratch volume is."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Toleration(_Closed):
    """A taint of nodes on which pods may run all the same."""

    key: str = Field(description="key of the taint, such as nvidia.com/gpu")
    operator: Literal["Exists", "Equal"] = Field("Exists", description="how `value` is compared")
    value: str | None = Field(None, description="value of the taint, for Equal")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        "NoSchedule", description="effect of the taint; null: any"
    )


class SchedulerPod(_Closed):
    """The pod of a run's Dask scheduler; it belongs on a node that is not taken away."""

    cpu: float = Field(1.0, gt=0, description="cores")
    memory: ByteSize = Field(ByteSize(2_000_000_000), gt=0, description="memory, such as 2GB")
    node_selector: Mapping[str, str] = Field({}, description="labels of nodes that it may run on")
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str | None = Field(None, description="name of its PriorityClass")


class WorkerGroup(_Closed):
    """Workers of one kind: one pod each, on nodes that fit it."""

    name: str = Field(description="name of the group: small letters, digits, hyphens")
    least: int = Field(0, ge=0, description="workers that it has while the run has work")
    most: int = Field(ge=1, description="maximum number of workers")
    threads: int = Field(4, ge=1, description="chunks that a worker computes at a time")
    cpu: float | None = Field(
        None, gt=0, description="cores that a worker requests; default: one per thread"
    )
    memory: ByteSize | None = Field(
        None, gt=0, description="memory of a worker; default: what `deepsalt plan` predicts"
    )
    gpus: Literal[0, 1] = Field(0, description="GPUs of a worker: one worker per GPU")
    gpu_resource: str = Field("nvidia.com/gpu", description="name of the GPU in the cluster")
    maps: bool = Field(
        True, description="whether it maps scenes; workers that do not only compose tiles"
    )
    node_selector: Mapping[str, str] = Field({}, description="labels of nodes that it may run on")
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str | None = Field(None, description="name of their PriorityClass")
    price_per_hour: float = Field(0.0, ge=0, description="price of an hour of a worker")
    preemptions_per_hour: float = Field(
        0.0, ge=0, description="how often a node of it is taken away, per worker and hour"
    )
    notice_s: float = Field(
        30.0,
        ge=0,
        description="seconds between the notice and the end of a node that is taken away; 0: none",
    )
    start_s: float = Field(
        60.0, ge=0, description="seconds from asking for a worker until it works, its node included"
    )

    @model_validator(mode="after")
    def _has_a_name_and_bounds(self) -> Self:
        if not _LABEL.fullmatch(self.name):
            raise ValueError(
                f"a group is named {self.name!r}; use up to 30 small letters, digits and hyphens"
            )
        if self.least > self.most:
            raise ValueError(
                f"group {self.name} has at least {self.least} and at most {self.most} workers; "
                "least may not exceed most"
            )
        return self


class Prices(_Closed):
    """What the plan of a run charges besides the hours of workers."""

    currency: str = Field("EUR", max_length=10, description="name of the currency")
    per_gb_fetched: float = Field(0.0, ge=0, description="price of a GB fetched from archives")
    per_million_requests: float = Field(
        0.0, ge=0, description="price of a million requests to the object store"
    )
    per_gb_month: float = Field(0.0, ge=0, description="price of a GB stored for a month")
    scheduler_per_hour: float = Field(
        0.0, ge=0, description="price of an hour of the nodes of scheduler and driver"
    )


class ClusterProfile(_Closed):
    """A cluster that a run makes on Kubernetes, and removes."""

    image: str = Field(description="image of the scheduler and the workers")
    namespace: str = Field("deepsalt", description="namespace of the run's objects")
    service_account: str = Field(
        "deepsalt-worker", description="service account of the scheduler and the workers"
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    scheduler: SchedulerPod = SchedulerPod()
    groups: tuple[WorkerGroup, ...] = Field(min_length=1)
    labels: Mapping[str, str] = Field(
        {}, description="labels of the pods, such as those by which a cloud gives them an identity"
    )
    environment: Mapping[str, str] = Field(
        {}, description="environment variables of the workers; no secrets"
    )
    secrets: tuple[str, ...] = Field(
        (), description="names of Secrets that the workers have as environment variables"
    )
    config_maps: tuple[str, ...] = Field(
        (), description="names of ConfigMaps that the workers have as environment variables"
    )
    scratch_gb: float = Field(10.0, gt=0, description="size limit of a worker's scratch volume, GB")
    model_cache: str | None = Field(
        None,
        description="claim of a volume of the node where workers keep models; default: the "
        "scratch volume of each pod",
    )
    grace_s: int = Field(
        100, ge=5, description="seconds that a worker has to finish once asked to leave"
    )
    idle_timeout_s: int = Field(
        300, ge=30, description="seconds without work after which the scheduler ends"
    )
    start_timeout_s: int = Field(
        600, ge=10, description="seconds that the first pods have to become ready"
    )
    longest_h: float = Field(
        168.0, gt=0, description="hours after which the cluster is removed in any case"
    )
    prices: Prices = Prices()

    @model_validator(mode="after")
    def _groups_differ(self) -> Self:
        names = [each.name for each in self.groups]
        if len(set(names)) < len(names):
            raise ValueError("two groups of workers have one name")
        if not any(each.maps for each in self.groups):
            raise ValueError("no group of workers maps scenes; leave `maps` out in one")
        return self


def read_profile(path: Path) -> ClusterProfile:
    """Read the profile of a cluster.

    Parameters
    ----------
    path
        TOML file.

    Raises
    ------
    UsageError
        The file cannot be read, or is not a profile.
    """
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return ClusterProfile.model_validate(found)
    except FileNotFoundError:
        raise UsageError(
            f"there is no cluster profile {path}; write one (docs/kubernetes/README.md shows how), "
            "or name yours with --cluster-profile"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the cluster profile {path} cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the cluster profile {path} is not TOML ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"the cluster profile {path} is wrong{f' at {field}' if field else ''}: {told}"
        ) from None
