"""Prefect flows: thin shells around the functions of `flows.run`.

A flow run is one scene, one query of scenes or one mosaic, and a task is a stage of it. The command
imports Prefect only on request. Takes the parameters of a deployment; returns the fields of a
report. Open `scenes.py` first.

=============  =====================================================================
`scenes.py`    `map-scenes`: the scenes of a query to their mosaic
`scene.py`     `process-scene`: one scene to one scene product
`mosaic.py`    `build-mosaic`: scene products to a mosaic
`validate.py`  `validate`: is all fresh and well, and who is told
`artifacts.py` what an operator sees of a run
`retries.py`   which failures are worth a retry
=============  =====================================================================
"""

import os

# Nothing phones home; prefect reads these when it is imported, hence their place here.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
