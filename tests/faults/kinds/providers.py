"""Faults of providers: scenes on a loopback server that fails while a run fetches them.

They are files of a web server, or objects of a bucket of that server.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.world import FAILED, PARTIAL, Ended, Trial, World, forked
from tests.servers.ranges import SOUND, Fault, file_server
from tests.servers.stac import serving

Plan = Callable[[int, str], Fault]
"""What goes wrong with a request, by its number and path."""

_SHARE = 0.3  # of answers that go wrong, where it may pass


def storm(trial: Trial, *, bucket: bool = False) -> str:
    """Let answers be 500, 503 or 429; the run survives it."""
    ways = (Fault(status=500), Fault(status=503), Fault(status=429))
    return _passes(trial, ways, bucket)


def resets(trial: Trial, *, bucket: bool = False) -> str:
    """Reset connections in the middle of an answer; the run asks again."""
    return _passes(trial, (Fault(cut=300, reset=True), Fault(cut=0, reset=True)), bucket)


def slow_loris(trial: Trial, *, bucket: bool = False) -> str:
    """Let answers come byte by byte, or not at all; the run hangs up and asks again."""
    return _passes(trial, (Fault(drip_s=0.3), Fault(silent_s=30.0)), bucket)


def wrong_length(trial: Trial) -> str:
    """Announce more bytes than come, or another size of the object; the run asks again."""
    return _passes(trial, (Fault(longer=9), Fault(cut=1000)))


def cut_off(trial: Trial) -> str:
    """End answers of a bucket before their end; the run goes on where they broke off."""
    return _passes(trial, (Fault(cut=1000), Fault(cut=300_000)), bucket=True)


def expired_url(trial: Trial, *, bucket: bool = False) -> str:
    """Refuse everything after some answers, as when signatures expire; nothing is asked again."""
    last = trial.rng.randrange(12)

    def plan(number: int, path: str) -> Fault:
        return Fault(status=403) if number > last else SOUND

    return _stops(trial, plan, bucket, final=True)


def endless_storm(trial: Trial, *, bucket: bool = False) -> str:
    """Let one scene's server stay ill; the rest is complete, and the scene comes another time."""
    ill = trial.rng.choice(trial.world.scenes).name

    def plan(number: int, path: str) -> Fault:
        return Fault(status=503) if ill in path else SOUND

    return _stops(trial, plan, bucket)


def vanished(trial: Trial, *, bucket: bool = False) -> str:
    """Let one scene's files be gone; the rest is complete, and nothing is asked twice."""
    gone = trial.rng.choice(trial.world.scenes).name

    def plan(number: int, path: str) -> Fault:
        return Fault(status=404) if gone in path else SOUND

    return _stops(trial, plan, bucket, final=True)


def _passes(trial: Trial, ways: tuple[Fault, ...], bucket: bool = False) -> str:
    """Run over a server that fails now and then; the run has to succeed."""
    seed = trial.rng.random()

    def plan(number: int, path: str) -> Fault:
        draw = Random(f"{seed} {number}")
        return draw.choice(ways) if draw.random() < _SHARE else SOUND

    with _served(trial, plan, bucket) as served:
        return _run(trial, served).fault(0)


def _stops(trial: Trial, plan: Plan, bucket: bool, *, final: bool = False) -> str:
    """Run over a server that fails for good, then over a sound one; no scene is quarantined.

    Where the answer is final, no file may be asked for twice.
    """
    with _served(trial, plan, bucket) as served:
        ended = _run(trial, served)
        asked = len(served.refused.read_bytes())
    if wrong := ended.fault(0, FAILED, PARTIAL):
        return wrong
    if final and asked > sum(_files(scene) for scene in trial.world.scenes):
        return f"asked {asked} times for what is refused"
    if list((trial.place.path / "records" / "quarantine").rglob("*.json")):
        return "a scene was quarantined for its server's fault"
    with _served(trial, lambda number, path: SOUND, bucket) as served:
        return _run(trial, served).fault(0)


@contextmanager
def served_soundly(trial: Trial) -> Iterator[str]:
    """Serve the scenes; yields the API's address."""
    with _served(trial, lambda number, path: SOUND) as served:
        yield served.api


def _files(scene: Path) -> int:
    return len(list(scene.iterdir())) if scene.is_dir() else 1


def _run(trial: Trial, served: "_Served") -> Ended:
    return trial.run(catalogue=served.api, endpoint=served.files, before=_impatient)


def _impatient() -> None:
    """Have seconds of patience instead of minutes, and the keys of the bucket."""
    from deepsalt.fetch import Patience, scenes

    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "open-sesame"}
    os.environ.update(keys, AWS_REGION="us-east-1")
    scenes.Patience = partial(  # type: ignore[misc,assignment]
        Patience, first_wait_s=0.02, longest_wait_s=0.2, silence_s=1.5
    )


@dataclass(frozen=True, slots=True)
class _Served:
    """Addresses of the API and of the files; a file of a byte per refusal."""

    api: str
    files: str
    refused: Path


@contextmanager
def _served(trial: Trial, plan: Plan, bucket: bool = False) -> Iterator[_Served]:
    """Serve the scenes from a child."""
    address, refused = trial.work / "provider.url", trial.work / "provider.refused"
    address.unlink(missing_ok=True)
    refused.write_bytes(b"")
    child = forked(
        partial(_serve, trial.world, plan, bucket, address, refused),
        trial.work / "provider.log",
    )
    try:
        until = time.monotonic() + 60.0
        while not address.exists():
            assert time.monotonic() < until, "the server of the scenes does not start"
            time.sleep(0.01)
        yield _Served(*address.read_text().split(), refused)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _serve(world: World, plan: Plan, bucket: bool, address: Path, refused: Path) -> int:
    from tests.flows.conftest import remote_items

    def faults(number: int, path: str) -> Fault:
        fault = plan(number, path)
        if fault.status:
            with refused.open("ab") as stream:
                stream.write(b".")
        return fault

    root = world.scenes[0].parent
    with (
        file_server(root.parent if bucket else root, faults=faults) as files,
        serving(remote_items(world.scenes, f"s3://{root.name}" if bucket else files.url)) as api,
    ):
        written = address.with_suffix(".new")
        written.write_text(f"{api.url} {files.url}")
        written.rename(address)
        signal.pause()
    return 0
