"""What a service costs beside the work: per announced scene, and for `map-scenes` over many.

`python -m tests.benchmarks.scale.service --announced 20 --mapped 1000 --rounds 2` starts
`deepsalt serve` on PostgreSQL and prints JSON. Scenes have 64 by 64 pixels. What the server does
without any run is taken off; the ratio is that of alternating runs with and without the flow.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from tests.flows.conftest import CENTER, WEST_DAY
from tests.ops.running import Running, cpu_s, many
from tests.servers.postgres import postgres
from tests.waiting import wait_until

_IDLE_S = 20.0
_CODE = """
import json, resource, sys, time
from flows.config import RunConfig
config = RunConfig.model_validate_json(sys.argv[2])
if sys.argv[1] == "flow":
    from flows.prefect.scenes import map_scenes as work
else:
    from flows.run.run import run as work
began_s = time.perf_counter()
work(config)
took_s = time.perf_counter() - began_s
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"wall_s": took_s, "cpu_s": sum(each.ru_utime + each.ru_stime for each in used)}))
"""


def announced(service: Running, database: str, product: Path, count: int) -> dict[str, float]:
    """Return what announced scenes cost, each of them."""
    (server,) = service.children("server")
    before = cpu_s(server)
    time.sleep(_IDLE_S)
    idle = (cpu_s(server) - before) / _IDLE_S
    items = service.publish(many(product, count))
    used, size, began_s = cpu_s(server), _size(database), time.monotonic()
    service.post(*({"item": item} for item in items))
    wait_until(lambda: bool(service.products()), "no product", patience_s=120)
    first_s = time.monotonic() - began_s
    wait_until(
        lambda: len(service.products()) == count, "not all products", patience_s=60 + 20 * count
    )
    took_s = time.monotonic() - began_s
    return {
        "server_cpu_s_idle": idle,
        "server_cpu_s_per_scene": (cpu_s(server) - used - idle * took_s) / count,
        "database_bytes_per_scene": (_size(database) - size) / count,
        "event_to_first_product_s": first_s,
        "seconds_per_scene": took_s / count,
    }


def mapped(service: Running, count: int, rounds: int) -> dict[str, Any]:
    """Return wall and CPU time of `map-scenes` against the same run without Prefect."""
    found: dict[str, list[dict[str, float]]] = {"run": [], "flow": []}
    for number in range(rounds):
        for how in ("run", "flow") if number % 2 == 0 else ("flow", "run"):
            out = service.folder / f"{how}-{number}"
            told = {"selection": {"catalogue": str(service.catalogue)}, "out": str(out)}
            command = [sys.executable, "-c", _CODE, how, json.dumps(told)]
            environment = {**os.environ, "PREFECT_API_URL": service.api}
            done = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            found[how].append(json.loads(done.stdout.splitlines()[-1]))
            shutil.rmtree(out)
    means = {
        how: {key: statistics.mean(each[key] for each in rows) for key in rows[0]}
        for how, rows in found.items()
    }
    ratios = {f"ratio_{key}": means["flow"][key] / means["run"][key] for key in means["run"]}
    return {"scenes": count, **found, **ratios}


def _size(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--announced", type=int, default=20)
    parser.add_argument("--mapped", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres() as database:
        product = write_enmap(
            Path(folder),
            landscape=Landscape(3, *CENTER),
            grid=utm_grid(*CENTER, 64, 64, zone=44),
            start=WEST_DAY,
            seed=1,
        )
        with Running(Path(folder) / "service", database.url) as service:
            found = {"announced": announced(service, database.url, product, asked.announced)}
            if asked.mapped:
                service.publish(many(product, asked.mapped, first=asked.announced))
                found["mapped"] = mapped(service, asked.announced + asked.mapped, asked.rounds)
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
