"""A Dask cluster that a run makes on Kubernetes for itself, and removes.

Per run: a scheduler Job, a Service on it, a Secret with the run's certificates, and a Job for each
worker. All belong to the scheduler Job, so they go when it goes. Open `pods.py` first.

==============  =====================================================================
`pods.py`       the pods of a run, made when first needed, kept when it begins again
`cluster.py`    makes the cluster, waits for it, connects, removes it
`documents.py`  the Jobs, Service and Secret as plain documents
`container.py`  what all pods have in common: security, volumes, environment
`restricted.py` security that pods of a service have as well
`workers.py`    the worker Jobs of a run
`reasons.py`    why a pod does not start, and what to do about it
`scaling.py`    how many workers each group should have; which are released
`api.py`        the one door to the API server
`tunnel.py`     reaches the scheduler from outside the cluster
`status.py`     which clusters run, for `deepsalt status --cluster`
==============  =====================================================================
"""
