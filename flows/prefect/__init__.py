"""Prefect flows: thin shells around the functions of `flows.run`.

The command imports Prefect only on request. A flow takes the parameters of a deployment and returns
the fields of a report. Open `scenes.py` first.

==============  ====================================================================
`scenes.py`     `map-scenes`: the scenes of a query to their mosaic
`scene.py`      `process-scene`: one scene to one scene product
`mosaic.py`     `build-mosaic`: scene products to a mosaic
`watch.py`      `watch`: what a catalogue published, each to a run of `process-scene`
`backfill.py`   `backfill`: an archive as far as a budget goes
`train.py`      `train-model`: tables of spectra to a model
`validate.py`   `validate`: is all fresh and well, and who is told
`maintain.py`   `maintain`: old runs and scratch files
`deadline.py`   the end of a run that hangs
`submitter.py`  runs of scenes on a server, one per product and attempt
`artifacts.py`  what an operator sees of a run
`retries.py`    which failures are worth a retry
==============  ====================================================================
"""

import os

# Nothing phones home; prefect reads these when it is imported, hence their place here.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
