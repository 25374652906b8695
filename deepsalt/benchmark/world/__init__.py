"""Simulated regions and sites: a laboratory spectrum, and what a satellite saw there.

Takes settings, a sensor and a seed, returns `SimulatedPairs`. Sites have no position: only
differences between regions matter. Materials, mixing and sky are those of `deepsalt.simulate`.

Open `regions.py` first; `ground.py` draws the ground, `appearance.py` its spectra.
"""
