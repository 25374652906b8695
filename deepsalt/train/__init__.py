"""From tables of spectra to a model: weights, card and report.

Takes tables (`data`), writes a model folder that `deepsalt.model` loads. A teacher with every
sample as an inducing point learns first (`teacher`). Alongside satellite sites its knowledge is
adapted and weighted (`adaptation`). A student of few inducing points learns from the labels and
from the teacher (`student`), with an interval and a test for what is unlike its training
(`uncertainty`). Held-out groups and regions score it (`evaluation`).

Open `loop.py` first, the whole of `deepsalt train`; then `student/fit.py`.
"""
