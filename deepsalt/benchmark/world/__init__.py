"""Simulated regions and sites: a laboratory spectrum, and what a satellite saw there.

In come settings, a sensor and a seed, out come `SimulatedPairs`. Sites have no position: what
matters is how regions differ. Materials, mixing and sky are those of `deepsalt.simulate`.

Open first `regions.py`; `ground.py` draws what lies there, `appearance.py` how it looks.
"""
