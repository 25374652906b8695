"""The service on one machine: server, worker, listener, deployments, and how it stands.

In comes a `ServiceConfig`, read from one TOML file; `Service` starts the processes and takes them
down again, and `status` says how things stand. The processes are Prefect's own and `listener.py`;
each gets what it needs from its environment. Open first `config.py`.

=================  ==========================================================