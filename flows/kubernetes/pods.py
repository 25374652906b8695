"""The pods of a run: made when first needed, kept when the run begins again."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed import Client

from deepsalt.progress import Progress
from flows.cluster_profile import ClusterProfile
from flows.config import Scratch
from flows.kubernetes.cluster import KubernetesCluster, kubernetes_cluster
from flows.kubernetes.container import SCRATCH
from flows.kubernetes.scaling import Scaling

_FOR_FILES = 0.9
"""Part of a scratch volume that files of scenes may take; a pod with more is evicted."""


class Pods(ExitStack):
    """The pods of a run; a context manager that removes them.

    A run that begins again, since its scheduler was lost, connects to the one that the scheduler's
    Job starts in its place.

    Parameters
    ----------
    profile
        What they are like.
    progress
        Told what they wait for.
    """

    def __init__(self, profile: ClusterProfile, progress: Progress) -> None:
        super().__init__()
        self.profile = profile
        self._progress = progress
        self._memory: Mapping[str, int] = {}
        self._scenes = 0
        self._made: KubernetesCluster | None = None

    def expect(self, memory: Mapping[str, int], scenes: int) -> None:
        """Note the memory of a worker by group, bytes, and how many scenes are to be mapped."""
        self._memory = memory
        self._scenes = scenes

    @property
    def scratch(self) -> Scratch:
        """Where its workers keep files of remote scenes; some of the volume is for Dask's own."""
        return Scratch(folder=Path(SCRATCH, "files"), limit_gb=self.profile.scratch_gb * _FOR_FILES)

    @contextmanager
    def connected(self) -> Iterator[Client]:
        """Connect to the scheduler until the block ends; make it if there is none yet.

        Raises
        ------
        RunError
            The cluster refuses, or the scheduler does not start.
        """
        if self._made is None:
            self._made = self.enter_context(kubernetes_cluster(self.profile, self._memory))
        with self._made.connected(self._progress) as client:
            yield client

    @contextmanager
    def scaled(self, client: Client) -> Iterator[Scaling]:
        """Keep workers until the block ends, which begins when the first one works.

        Raises
        ------
        RunError
            No worker starts.
        """
        if self._made is None:
            raise RuntimeError("workers follow their scheduler")
        with self._made.scaled(client, self._scenes, self._progress) as scaling:
            yield scaling
