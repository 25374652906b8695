"""Research: the method beside the published one, baselines, ablations and controls.

Nothing but the verb `deepsalt benchmark` imports it. In come a table of laboratory spectra and a
seed for simulated sites, out come `benchmark.json`, `benchmark.md` and plots.

Open `run.py` first; `rows.py` names the methods, `data.py` their test data. `published` is
the published method, `world` simulates regions and sites.
"""
