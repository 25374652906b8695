"""What opening a mosaic takes, as JSON: `python -m tests.export.opening STORE`.

It imports what a reader does and nothing else, as the most memory that a process had is measured.
"""

import json
import re
import sys
import time
from pathlib import Path

import deepsalt


def opened(where: str) -> dict[str, float]:
    started = time.perf_counter()
    ds = deepsalt.open_mosaic(where)
    cold_s = time.perf_counter() - started
    # What getrusage says counts the process that started this one, too.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    peak_mb = int(peak[1]) / 1000
    started = time.perf_counter()
    deepsalt.open_mosaic(where)
    warm_s = time.perf_counter() - started
    part = ds.salinity.isel(period=0, y=slice(0, 4096), x=slice(0, 8192))
    graph = part.__dask_optimize__(part.__dask_graph__(), part.__dask_keys__())
    return {
        "with_imports_s": round(cold_s, 2),
        "s": round(warm_s, 2),
        "peak_mb": round(peak_mb),
        "chunks_of_a_layer": ds.salinity.data.npartitions,
        "graph_of_32_chunks": len(dict(graph)),
    }


if __name__ == "__main__":
    print(json.dumps(opened(sys.argv[1])))
