"""A continent for a month, on paper: `python -m tests.benchmarks.scale.month PROFILE`.

So many EnMAP scenes at random places of Africa or Central Asia, SIMULATED: Items alone, whose files
a server of the given name would have. `--catalogue FOLDER` writes them, for `deepsalt plan
--catalogue FOLDER --cluster-profile PROFILE`. Otherwise prints the tables of docs/scale.md, planned
like that without the way through a folder, which for many scenes takes an hour.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.errors import GridError
from deepsalt.grid import MosaicGrid
from deepsalt.types import Acquisition
from flows.cluster_profile import ClusterProfile, read_profile
from flows.config import Compute, Politeness, SceneConfig
from flows.run.memory import refuse_too_large
from flows.run.scenes import with_tiles
from flows.scale.plan import plan_cluster
from flows.scale.workload import Workload
from tests.benchmarks.scale.continent import AFRICA, CENTRAL_ASIA, continent

DLR, BUCKET = "download.geoservice.dlr.de", "archive.s3.amazonaws.com"
CASES = (
    ("Central Asia, a month of EnMAP", 400, "central-asia", DLR, 64),
    ("Africa, a month of EnMAP", 1000, "africa", DLR, 64),
    ("Africa once", 33_700, "africa", DLR, 64),
    ("Africa once, from a bucket", 33_700, "africa", BUCKET, 1000),
    ("Africa once, from a bucket", 33_700, "africa", BUCKET, 64),
)
"""What, how many scenes, where, from which server, and how many workers at most."""
RATES, NOTICES_S = (0.0, 0.1, 1.0), (30, 0)
"""Of preemptions per worker and hour, for the last case."""
AREAS = {"africa": AFRICA, "central-asia": CENTRAL_ASIA}
_START = datetime(2026, 6, 1, 6, tzinfo=UTC)
_DAYS = 30


def month(number: int, area: str, host: str) -> Iterator[Acquisition]:
    """Yield the scenes of a month."""
    step = timedelta(days=_DAYS) / number
    for index, scene in enumerate(continent(number, area=AREAS[area])):
        start = _START + index * step
        assets = (
            replace(asset, href=asset.href.replace("/archive", f"https://{host}"))
            for asset in scene.assets
        )
        yield replace(scene, start=start, end=start + timedelta(seconds=4), assets=tuple(assets))


def workload(scenes: Iterable[Acquisition]) -> Workload:
    """Return scenes and their tiles as a plan counts them."""
    found, tiles = Workload(), set()
    for scene, under in with_tiles(MosaicGrid(), scenes):
        if not isinstance(under, GridError):
            found.add(scene)
            tiles.update(under)
    found.tiles = len(tiles)
    return found


def table(profile: ClusterProfile) -> Iterator[str]:
    """Yield the rows of continents and months, and of rates of preemption, for Markdown."""
    needs = refuse_too_large(month(1, "africa", DLR), SceneConfig(compute=Compute(cluster=profile)))
    works: dict[tuple[int, str], Workload] = {}
    yield "| scenes | workers | waits for | hours | TB | requests, million | money |"
    yield "|---|--:|---|--:|--:|--:|--:|"
    for what, number, area, host, most in CASES:
        if (number, area) not in works:
            works[number, area] = workload(month(number, area, DLR))
        work = works[number, area]
        work.hosts = [(host,)] * len(work)
        found = plan_cluster(work, _with(profile, most), Politeness(), needs)
        yield (
            f"| {what}, {number:,} | {found.pods[0].workers:,} of {most:,} | {found.first} | "
            f"{found.expected.seconds / 3600:,.1f} | {found.fetched_bytes / 1e12:,.2f} | "
            f"{(found.reads + found.writes) / 1e6:,.1f} | {found.money.total:,.0f} |"
        )
    yield ""
    yield "| per worker and hour | notice, s | minutes | taken away | begun again | done twice |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for rate in RATES:
        for notice_s in NOTICES_S if rate else NOTICES_S[:1]:
            taken = _with(profile, most, preemptions_per_hour=rate, notice_s=notice_s)
            expected = plan_cluster(work, taken, Politeness(), needs).expected
            yield (
                f"| {rate:g} | {notice_s if rate else '-'} | {expected.seconds / 60:.1f} "
                f"({expected.earliest_s / 60:.1f} to {expected.latest_s / 60:.1f}) | "
                f"{expected.preemptions:,.0f} | {expected.begun_again:,.0f} | "
                f"{expected.wasted_s / 60:,.1f} min |"
            )


def _with(profile: ClusterProfile, most: int, **change: float) -> ClusterProfile:
    first, *others = profile.groups
    group = first.model_copy(update={"most": most, **change})
    return profile.model_copy(update={"groups": (group, *others)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path, nargs="?", help="of a cluster")
    parser.add_argument("--catalogue", type=Path, help="where to write a catalogue instead")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--area", choices=sorted(AREAS), default="africa")
    parser.add_argument("--host", default=DLR, help="server of the files")
    args = parser.parse_args()
    if args.catalogue:
        add_items(args.catalogue, map(to_item, month(args.scenes, args.area, args.host)))
    elif args.profile:
        for row in table(read_profile(args.profile)):
            print(row, flush=True)
    else:
        parser.error("give a profile, or --catalogue")


if __name__ == "__main__":
    main()
