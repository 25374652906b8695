"""Outcome of a run, as the command and Prefect show it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from deepsalt.effort import SceneWork
from deepsalt.mapping import SceneReport
from flows.run.mosaic import MosaicResult


@dataclass(frozen=True)
class Effort:
    """What the scenes of a run took as a whole, and what the catalogue let expect.

    Parameters
    ----------
    workers
        Workers at the end of mapping.
    scenes_s
        Wall time of mapping, seconds; tiles are composed meanwhile.
    expected_bytes, expected_s
        Bytes to fetch and seconds of all workers, by the rules of `deepsalt plan`.
    work
        Work on the scenes, by their status.
    workers_s
        Time of all workers that get scenes, busy or not, while scenes were mapped, seconds.
    """

    workers: int = 1
    scenes_s: float = 0.0
    expected_bytes: int = 0
    expected_s: float = 0.0
    work: Mapping[str, SceneWork] = field(default_factory=dict)
    workers_s: float = 0.0

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return what `dataclasses.asdict` described."""
        work = {status: SceneWork(**each) for status, each in found["work"].items()}
        return cls(**{**found, "work": work})


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run: every scene, the mosaic (None if no scene could be mapped), lost work.

    Parameters
    ----------
    scenes
        Outcome of each scene, unusable Items first.
    mosaic
        Outcome of the mosaic.
    begun_again, wasted_s
        Scenes that were started again because their worker or the scheduler was lost, and the time
        that workers had already spent on them, seconds.
    effort
        What mapping took; equal outcomes may differ in it.
    left
        Scenes that are left for the next run, by `RunConfig.most`.
    """

    scenes: tuple[SceneReport, ...]
    mosaic: MosaicResult | None
    begun_again: int = 0
    wasted_s: float = 0.0
    effort: Effort = field(default_factory=Effort, compare=False)
    left: int = 0

    @property
    def wasted(self) -> float:
        """Share of the time of workers that was spent on work that was done again."""
        return self.wasted_s / self.effort.workers_s if self.effort.workers_s else 0.0

    @property
    def wanted(self) -> list[SceneReport]:
        """The scenes that an operator did not take out."""
        return [scene for scene in self.scenes if scene.status != "withdrawn"]

    @property
    def failure(self) -> str | None:
        """Why the run failed as a whole: nothing mapped, or nothing exported; None otherwise."""
        if self.mosaic is not None:
            return self.mosaic.export_failed or None
        if not self.wanted:
            return None
        first = self.wanted[0]
        return f"none of {len(self.wanted)} scenes could be mapped; {first.scene}: {first.reason}"

    @property
    def exit_code(self) -> int:
        """Exit code: 0 all done, 1 nothing mapped or nothing exported, 3 some scenes are left out.

        Withdrawn scenes are left out on purpose and change nothing.
        """
        if self.failure:
            return 1
        return 0 if all(scene.product for scene in self.wanted) else 3

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_dict` described."""
        mosaic = found["mosaic"]
        return cls(
            tuple(SceneReport(**each) for each in found["scenes"]),
            mosaic and MosaicResult(**mosaic),
            found["begun_again"],
            found["wasted_s"],
            Effort.of(found["effort"]),
            found["left"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; work is in ``effort``, for all scenes together."""
        found = asdict(self)
        for scene in found["scenes"]:
            del scene["work"]
        return found | {"wasted_share": round(self.wasted, 4)}
