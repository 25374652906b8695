"""Ground, scenes and product files with known salinity.

One ground: `Landscape` says what lies at any position, `draw_mixtures` draws pixels of the same
materials without one. One sky: `Sky` is what a scene's atmospheric correction leaves; `Clouds` are
what stands above the ground. In come a seed and a place; out come true-to-format EnMAP and PRISMA
products with their truth, and spectra with their conductivity for training.

Open first `scene.py` (what a sensor would measure), then `landscape.py` and `optics.py`. The tables
of materials were made by `derive.py`.
"""
