"""A catalogue of a continent on a server: `python -m tests.benchmarks.scale.month FOLDER`.

So many EnMAP scenes at random places of Africa or Central Asia, within a month, SIMULATED: Items
alone, whose files a server of the given name would have. `deepsalt plan --catalogue FOLDER
--cluster-profile FILE` plans them; the tables of docs/scale.md are made so.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.types import Acquisition
from tests.benchmarks.scale.continent import AFRICA, CENTRAL_ASIA, continent

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write the catalogue")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--area", choices=sorted(AREAS), default="africa")
    parser.add_argument("--host", default="download.geoservice.dlr.de", help="server of the files")
    args = parser.parse_args()
    add_items(args.folder, map(to_item, month(args.scenes, args.area, args.host)))


if __name__ == "__main__":
    main()
