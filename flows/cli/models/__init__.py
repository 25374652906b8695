"""The verbs from samples and spectra to models, one file each: options in, text or JSON out.

`extract` looks up what scenes show of samples, `train` makes a model, `predict-table` applies one
to spectra, `validate` says how good a map is, `benchmark` compares methods. Open `train.py` first.
"""
