"""Concurrent work: coroutines, calls on an executor, and light processes of our own.

Takes calls; returns or yields their results. Open `calls.py` first; `processes.py` is an executor
for work that holds Python's lock.
"""

from deepsalt.concurrency.calls import in_order, run_all, submitted

__all__ = ["in_order", "run_all", "submitted"]
