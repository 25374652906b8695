"""What a run computes on: threads here, processes here, or a Dask cluster, behind one seam.

In go calls of a `Station`'s methods with a scene, out come futures; who is there to be called, and
who has left, comes as events. Open `engine.py` first.

==============  =====================================================================
`engine.py`     the seam: calls, events, what a worker says of itself
`station.py`    a worker's end: maps one scene at a time, brings one and writes one
`threads.py`    one station in this process
`cluster.py`    a station on each worker of a Dask cluster, or of processes started here
`opening.py`    the engine of a configuration
`allocator.py`  what the C library does with freed memory
==============  =====================================================================
"""
