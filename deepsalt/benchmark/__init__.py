"""Research: the method beside the published one, baselines, ablations and controls.

Nothing but the verb `deepsalt benchmark` imports it. In come a table of laboratory spectra and a
seed for simulated sites, out come `benchmark.json`, `benchmark.md` and plots.

Open first `run.py`; `rows.py` names the methods, `data.py` what they are scored on. `published` is
the published method, `world` simulates regions and sites.
"""
