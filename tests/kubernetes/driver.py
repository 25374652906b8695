"""A run whose driver is a pod, started again by its Job."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.engines.runs import Ended
from tests.kubernetes.bucket import SECRET
from tests.kubernetes.cluster import Manifest, Space
from tests.kubernetes.images import WORKER
from tests.kubernetes.pods import job, pod_spec
from tests.kubernetes.world import World, catalogue_manifest, catalogue_volume, export_of

GB = 1_000_000_000


@dataclass(frozen=True)
class Driver:
    """The Job of a driver.

    Parameters
    ----------
    space
        Its namespace.
    name
        Of the Job.
    """

    space: Space
    name: str

    @property
    def pod(self) -> str:
        """The newest pod of the Job; "" where there is none yet."""
        return self.space.pod_of(self.name)

    def wait(self, patience_s: float = 180.0) -> Ended:
        """Wait until the Job has ended; how its last pod did."""
        self.space.wait(
            self._is_over, f"the driver {self.name} does not end", patience_s=patience_s
        )
        (status,) = self.space.get("Pod", self.pod)["status"]["containerStatuses"]
        said = self.space.said(self.pod)
        return Ended(int(status["state"]["terminated"]["exitCode"]), said, 0.0)

    def _is_over(self) -> bool:
        conditions = self.space.get("Job", self.name).get("status", {}).get("conditions") or ()
        return any(each["type"] in ("Complete", "Failed") for each in conditions)


def drive(
    world: World,
    space: Space,
    name: str,
    out: str,
    *options: str,
    tries: int = 1,
    scratch: Mapping[str, Manifest] | None = None,
    **more: object,
) -> Driver:
    """Start a run of all scenes into the bucket, in a pod.

    Parameters
    ----------
    world, space, name, out
        What is mapped; where the Job is made, and its name; the store.
    options
        Of the command.
    tries
        How many pods the Job may start.
    scratch
        Volume of `/scratch`; default: one without a limit.
    more
        Other fields of the pod, and `secrets`.
    """
    secrets = more.pop("secrets", (SECRET,))
    spec = pod_spec(
        WORKER,
        [
            "run",
            "--catalogue=/catalogue",
            f"--out={out}",
            f"--export={export_of(out)}",
            "--scratch=/scratch",
            *options,
        ],
        command=["deepsalt"],
        environment={"COLUMNS": "200"},
        secrets=secrets,
        volumes={
            "/catalogue": catalogue_volume(world.catalogue),
            "/scratch": dict(scratch or {"emptyDir": {}}),
        },
        **more,
    )
    space.make(job(name, spec, tries=tries))
    return Driver(space, name)


def prepare(world: World, space: Space) -> None:
    """Put into a namespace what drivers need besides the bucket's Secret: the catalogue."""
    space.make(catalogue_manifest(world.catalogue))
