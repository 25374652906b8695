"""A run through the Prefect flows: what `--prefect` does.

The run itself is `flows.pipeline.run`; only the two stages are handed to Prefect, one flow run per
scene and one for the mosaic. Without PREFECT_API_URL, Prefect starts a server for the time of the
run.
"""

import os
from typing import Any

# Nothing phones home; prefect reads these when it is imported, hence before the imports below.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from flows import pipeline
from flows.config import NOWHERE, Export, MosaicConfig, RunConfig, SceneConfig
from flows.mosaic import build_mosaic
from flows.progress import Progress
from flows.scene import process_scene
from flows.stage1 import SceneResult
from flows.stage2 import MosaicResult


def _process(item: dict[str, Any], out: str, config: SceneConfig) -> SceneResult:
    return SceneResult(**process_scene(item, out, config, linked=False))


def _build(out: str, config: MosaicConfig) -> MosaicResult:
    # The run exports the mosaic by itself, and says what became of it.
    nowhere = config.model_copy(update={"export": Export(to=NOWHERE)})
    return MosaicResult(**build_mosaic(out, nowhere))


def run_flows(config: RunConfig, progress: Progress) -> pipeline.RunResult:
    """Do what `flows.pipeline.run` does, each stage as a Prefect flow run."""
    return pipeline.run(config, process=_process, build=_build, progress=progress)
