"""What is to be done: a few numbers per scene, collected while a run is planned."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from deepsalt.fetch import hosts_of
from deepsalt.types import Acquisition
from flows.run.memory import size_of


@dataclass(slots=True)
class Workload:
    """Scenes still to be mapped, and the tiles that they touch.

    Parameters
    ----------
    pixels
        Pixels of each scene.
    fetched_bytes
        Bytes of each scene that servers must send; 0 for local files.
    hosts
        Servers of each scene.
    tiles
        Number of tiles to be composed.
    """

    pixels: list[int] = field(default_factory=list)
    fetched_bytes: list[int] = field(default_factory=list)
    hosts: list[tuple[str, ...]] = field(default_factory=list)
    tiles: int = 0

    def add(self, scene: Acquisition) -> None:
        """Count a scene."""
        hosts = hosts_of(scene)
        self.pixels.append(scene.grid.height * scene.grid.width)
        self.fetched_bytes.append(size_of(scene) if hosts else 0)
        self.hosts.append(hosts)

    @classmethod
    def alike(
        cls,
        scenes: int,
        *,
        pixels: int = 0,
        fetched_bytes: int = 0,
        hosts: Sequence[str] = (),
        tiles: int = 0,
    ) -> "Workload":
        """Return so many equal scenes."""
        return cls([pixels] * scenes, [fetched_bytes] * scenes, [tuple(hosts)] * scenes, tiles)

    def __len__(self) -> int:
        return len(self.pixels)
