"""What a scene and a tile take, as measured: the only place of the figures that a plan rests on.

Each has its source. `python -m tests.benchmarks...` measures most of them again; a plan for another
kind of machine may replace any.
"""

from dataclasses import dataclass

from deepsalt.access.archives import MB


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of scenes, tiles and services.

    Parameters
    ----------
    pixels_per_thread_s
        Pixels read, masked, mapped and written per thread and second.
    tile_thread_s
        Seconds of a thread to compose, check and write a tile.
    build_s
        Seconds of a build besides its tiles: commit, Item, quicklook.
    connection_bytes_per_s
        Bytes per second of one connection to an archive of which no rate is known.
    worker_bytes_per_s
        Bytes per second that a worker fetches at most.
    reads_per_scene, writes_per_scene, reads_per_tile, writes_per_tile
        Requests to the object store; reads are GET and HEAD, writes are all others.
    reads_per_s, writes_per_s
        Requests that the object store answers.
    calls_per_s
        Calls that a scheduler passes on with one core.
    scheduler_per_worker
        Share of the scheduler's core that one worker takes by being there.
    driver_s_per_scene, driver_s_per_tile
        Seconds of the driver's one core.
    server_s_per_scene, database_bytes_per_scene
        Seconds of a core of Prefect's server, and bytes in its database, of a run of
        `process-scene`.
    """

    # `make bench`, two threads of two cores, 124,000; the demo 100,000 (docs/costs.md, 2026-11-29).
    pixels_per_thread_s: float = 100_000
    # docs/costs.md, stage 2: 0.77 s of CPU per scene of 1.44 Mpx in three-deep tiles; a tile of
    # 2048 x 2048 two scenes deep took 1.5 s (2026-11-29).
    tile_thread_s: float = 1.5
    # Profile of a build in docs/costs.md: Item, links and quicklook, commit (2026-11-29).
    build_s: float = 5.0
    # An assumption: what a connection of the Copernicus Data Space gives at most is published as
    # 20 MB/s; providers that publish no rate are slower. `--host-limit` replaces it.
    connection_bytes_per_s: float = 5 * MB
    # An assumption: a third of a 10 Gbit/s node.
    worker_bytes_per_s: float = 400 * MB
    reads_per_scene: float = 30
    writes_per_scene: float = 30
    reads_per_tile: float = 30
    writes_per_tile: float = 30
    # What Amazon S3 gives per prefix, and a new bucket has one partition (AWS re:Post, "How can I
    # scale my request rate to S3", read 2026-11-30).
    reads_per_s: float = 5500
    writes_per_s: float = 3500
    calls_per_s: float = 500
    scheduler_per_worker: float = 0.002
    driver_s_per_scene: float = 0.003
    driver_s_per_tile: float = 0.003
    # `tests.benchmarks.scale.service`, 20 runs on PostgreSQL (2026-11-30, 9da9ca2).
    server_s_per_scene: float = 0.15
    database_bytes_per_scene: float = 37_000


FIGURES = Figures()
"""As measured here."""
