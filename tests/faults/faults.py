"""The faults: each disturbs a store, mends what it broke, and says what was odd on the way."""

from functools import partial

from tests.faults import stages
from tests.faults.fault import Fault
from tests.faults.kinds import clusters, kills, machine, providers, servers

FAULTS: tuple[Fault, ...] = (
    *(
        Fault(f"SIGKILL: {stage}", where, kills.Kill(stage), trials=5)
        for where in ("folder", "bucket")
        for stage in (
            stages.CHUNK,
            stages.INDEX,
            stages.MARKER,
            stages.TILE,
            stages.MERGE,
            stages.COMMIT,
            stages.LINK,
            stages.EXPORT,
        )
    ),
    Fault("SIGKILL: collection", "folder", kills.kill_collection, trials=5),
    Fault("SIGKILL: collection", "bucket", kills.kill_collection, trials=5),
    Fault("SIGKILL of the run at any moment", "folder", kills.kill_driver, trials=10),
    Fault("SIGKILL of a worker", "folder", kills.kill_worker, trials=5),
    Fault("out-of-memory kill of a worker", "folder", kills.kill_largest_worker, trials=2),
    Fault("SIGTERM", "folder", kills.terminate, trials=4),
    Fault("SIGTERM", "bucket", kills.terminate, trials=3),
    *(
        Fault(f"cluster: SIGKILL of the {victim}: {stage}", "folder", shot, trials=shot.trials)
        for stage in clusters.STAGES
        for victim in clusters.VICTIMS
        if (shot := clusters.Shots(victim, stage))
    ),
    Fault("two runs at once", "folder", kills.two_runs, trials=3),
    Fault("two runs at once", "bucket", kills.two_runs, trials=3),
    Fault("500 and 503 for 0.3 s", "bucket", servers.outage, trials=4),
    Fault("500 and 503 now and then", "bucket", servers.storm, trials=4),
    Fault("503 without end", "bucket", servers.endless_storm, trials=3),
    Fault("slow", "bucket", servers.slow, trials=2),
    Fault("connections reset", "bucket", servers.resets, trials=4),
    Fault("answer lost after a write", "bucket", servers.lost_answers, trials=4),
    Fault("answer lost after a commit", "bucket", servers.lost_commit, trials=3),
    Fault("away in the middle of a commit", "bucket", servers.away_at_commit, trials=4),
    Fault("conditional writes refused", "bucket", servers.unconditional, trials=3),
    Fault("credentials expire", "bucket", servers.expired, trials=5),
    Fault("listings lag by 2 s", "bucket", servers.lagging, trials=3),
    Fault("resets while pruning", "bucket", servers.resets_while_pruning, trials=3),
    Fault("full disk", "folder", machine.full_disk, trials=4),
    Fault("read-only output", "folder", machine.read_only, trials=3),
    Fault("truncated asset", "folder", machine.truncated_asset, trials=3),
    Fault("bit-flipped asset", "folder", machine.flipped_asset, trials=3),
    Fault("vanished scene", "folder", machine.vanished_scene, trials=2),
    Fault("corrupt scene product", "folder", machine.corrupt_product, trials=4),
    Fault("clock jump", "folder", machine.clock_jump, trials=3),
    Fault("scenes: 500, 503 and 429", "folder", providers.storm, trials=3),
    Fault("scenes: 503 without end", "folder", providers.endless_storm, trials=2),
    Fault("scenes: connections reset", "folder", providers.resets, trials=3),
    Fault("scenes: slow-loris", "folder", providers.slow_loris, trials=2),
    Fault("scenes: wrong Content-Length", "folder", providers.wrong_length, trials=2),
    Fault("scenes: expired signed URL", "folder", providers.expired_url, trials=3),
    Fault("scenes: gone from their server", "folder", providers.vanished, trials=2),
    *(
        Fault(f"scenes in a bucket: {name}", "folder", partial(disturb, bucket=True), trials=3)
        for name, disturb in (
            ("500, 503 and 429", providers.storm),
            ("503 without end", providers.endless_storm),
            ("connections reset", providers.resets),
            ("slow-loris", providers.slow_loris),
            ("credentials expire", providers.expired_url),
            ("gone", providers.vanished),
        )
    ),
    Fault("scenes in a bucket: answers cut off", "folder", providers.cut_off, trials=3),
)
