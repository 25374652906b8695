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
    product_bytes_per_pixel, mosaic_bytes_per_pixel
        Bytes written per pixel of a scene, after compression.
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

    # `make bench`, two threads on two cores: 124,000; the demo: 100,000 (2026-11-29, faea1b3).
    pixels_per_thread_s: float = 100_000
    # A tile of 2048 x 2048, two scenes deep, composed, checked and written (2026-11-29, faea1b3).
    tile_thread_s: float = 1.5
    # What a bucket whose server answers 10 ms late adds to a run of the demo, 3 to 4 s, and the
    # commit, Item and quicklook of its version, 1 s (docs/costs.md, 2026-11-29).
    build_s: float = 5.0
    # Of 22 and 36 bytes per pixel, what the codecs leave: 9 and 12 on real scenes without the four
    # probabilities, which are a byte each on the demo's.
    product_bytes_per_pixel: int = 13
    mosaic_bytes_per_pixel: int = 16
    # An ASSUMPTION. Copernicus publishes 20 MB/s for a connection; those that publish nothing are
    # taken to be slower. `--host-limit HOST=N,MB/s` says what an archive really gives.
    connection_bytes_per_s: float = 5 * MB
    # An ASSUMPTION: a third of a node's 10 Gbit/s.
    worker_bytes_per_s: float = 400 * MB
    # `tests.benchmarks.scale.requests`, scenes of 1200 x 1200 pixels, 4 and 16 of them over 4 and 9
    # tiles, SeaweedFS (2026-11-30): 5 reads to map a scene, 105 to compose tiles of it.
    # Measured before products had probabilities, four of their eight layers: these counts are too
    # low by up to a half.
    reads_per_scene: float = 110
    writes_per_scene: float = 33
    reads_per_tile: float = 0
    writes_per_tile: float = 22
    # What Amazon S3 gives to a prefix, and a new bucket is one partition (AWS re:Post, "How can I
    # scale my request rate to S3", read on 2026-11-30).
    reads_per_s: float = 5500
    writes_per_s: float = 3500
    # `tests.benchmarks.scale.calls`, 16 and 64 workers, on a machine with a load of 20, which makes
    # them slow rather than fast (2026-11-30): 3.6 ms of the scheduler per call and 0.4 to 1.4 ms
    # per worker and second; 3.6 ms of the driver per scene, and with a tile for each 22 ms.
    calls_per_s: float = 280
    scheduler_per_worker: float = 0.0005
    driver_s_per_scene: float = 0.0036
    driver_s_per_tile: float = 0.023
    # `tests.benchmarks.scale.service`, 20 runs, PostgreSQL (2026-11-30, 9da9ca2).
    server_s_per_scene: float = 0.15
    database_bytes_per_scene: float = 37_000


FIGURES = Figures()
"""As measured here."""
