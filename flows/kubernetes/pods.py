"""The pods of a run: made when first needed, kept when the run begins again."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from distributed import Client

from deepsalt.progress import Progress
from flows.cluster_profile import ClusterProfile
from flows.kubernetes.cluster import KubernetesCluster, kubernetes_cluster
from flows.kubernetes.scaling import Scaling


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

    @property
    def patience_s(self) -> float:
        """Time that workers have to start, also where all were lost."""
        return float(self.profile.start_timeout_s)

    def expect(self, memory: Mapping[str, int], scenes: int) -> None:
        """Note the memory of a worker by group, bytes, and how many scenes are to be mapped."""
        self._memory = memory
        self._scenes = scenes

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
