"""Ground, scenes and product files with known salinity.

One ground: `Landscape` says what lies at any position, `draw_mixtures` draws pixels of the same
materials without one. One sky: `Sky` is what a scene's atmospheric correction leaves; `Clouds` are
what stands above the ground. Takes a seed and a place; returns true-to-format EnMAP and PRISMA
products with their truth, and spectra with their conductivity for training.

Open `scene.py` first (a sensor's measurement), then `landscape.py` and `optics.py`. The tables
of materials were made by `derive.py`.
"""
