"""The service: server, worker, listener, deployments, and how it stands.

In comes a `ServiceConfig`, read from one TOML file; `Service` starts the processes and takes them
down again, and `status` says how things stand. The processes are Prefect's own and `listener.py`;
each gets what it needs from its environment. Open first `config.py`.

=================  =================================================================
`config.py`        what the service keeps: store, watches, mosaics, times
`environment.py`   environment of its processes: nothing phones home, databases stay small
`processes.py`     starts the processes, starts again what dies, takes all down
`prefect.yaml`     the deployments, also for `prefect deploy` (infra/prefect.yaml)
`pods.py`          runs as pods on Kubernetes: what the file says of them, and their Job
`deployments.py`   deployments, schedules and automations of a configuration
`listener.py`      announcements of scenes, as they come, to runs
`zombies.py`       runs whose process died without a word
`upkeep.py`        old runs and scratch files
`metrics.py`       what Prometheus scrapes
`pages.py`         answers it, and the pictures and Items that artifacts link to
`status.py`        queue, runs, news, failures, freshness, next runs
=================  =================================================================
"""
