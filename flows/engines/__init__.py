"""What a run computes on: local threads, local processes or a Dask cluster, behind one interface.

Takes calls of a `Station`'s methods with a scene and returns futures; events tell which workers
came and left. Open `engine.py` first.

==============  =====================================================================
`engine.py`     the interface: calls, events, how a worker describes itself
`station.py`    the worker's side: fetches, maps and writes one scene each at a time
`threads.py`    one station in this process
`plugin.py`     the station of a Dask worker, and how the worker leaves
`cluster.py`    a station on each worker of a Dask cluster or each local process
`opening.py`    the engine of a configuration
`allocator.py`  how the C library treats freed memory
==============  =====================================================================
"""
