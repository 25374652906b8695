"""The confirmation: what a laboratory library gains, tested once on worlds of its own.

In comes an output folder, out come one page, `confirmation.md`, and the tables behind it. Worlds
are SIMULATED and fixed in `worlds.json`; rows are those of `deepsalt.benchmark.rows`.

Open `protocol.py` first; `worlds.py` says what the worlds are, `verdict.py` when a gain is claimed.
"""
