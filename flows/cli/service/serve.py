"""The verb `serve`."""

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from deepsalt.errors import UsageError

app = typer.Typer()

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file of the service. Default: ~/deepsalt/service.toml if it exists.",
    ),
]

Told = Annotated[str, typer.Argument(help="Configuration of the service, JSON.")]

JobTemplate = Annotated[
    bool,
    typer.Option(
        "--job-template",
        help="Print the base job template of the Kubernetes work pool, for a Prefect server of "
        "your own, and end.",
    ),
]

_LOOK_S = 1.0


@app.command(epilog="Example: `deepsalt serve --config service.toml`")
def serve(config: ConfigFile = None, job_template: JobTemplate = False) -> None:
    """Run the service on this machine: server, worker, schedules, watches; Ctrl-C ends it.

    Without a file the service watches nothing and waits for orders: `deepsalt status` shows them.
    With [kubernetes] in the file its runs are pods of a cluster.
    """
    from flows.service.config import read_config
    from flows.service.environment import PASSWORD_VARIABLE
    from flows.service.pods import base_job_template
    from flows.service.processes import Service

    found = read_config(config)
    if job_template:
        if found.kubernetes is None:
            raise UsageError("the file has no [kubernetes], so its runs need no job template")
        typer.echo(json.dumps(base_job_template(found.kubernetes), indent=2))
        return
    with Service(found, typer.echo) as service:
        typer.echo(f"serving    {found.pages}")
        typer.echo(f"metrics    {found.own_pages}/metrics")
        typer.echo(f"store      {found.store}")
        if found.kubernetes:
            typer.echo(f"runs       pods in namespace {found.kubernetes.namespace}")
        for watch in found.watch:
            typer.echo(f"watching   {watch.name}: {watch.selection.catalogue}")
        if not found.is_private and not os.environ.get(PASSWORD_VARIABLE):
            typer.echo(
                f"warning    whoever reaches {found.host} may start runs; set {PASSWORD_VARIABLE} "
                "to user:password to have them asked for it"
            )
        typer.echo("next       `deepsalt status` shows how things stand; Ctrl-C ends the service")
        while True:
            time.sleep(_LOOK_S)
            service.watch_over()


@app.command(hidden=True)
def listen(config: Told) -> None:
    """Hear a service's server; a process of `serve`."""
    from flows.service import listener
    from flows.service.config import ServiceConfig

    listener.run(ServiceConfig.model_validate_json(config))


@app.command(hidden=True)
def deploy(config: Told) -> None:
    """Apply a service's deployments to its server; a step of `serve`."""
    from flows.service import deployments
    from flows.service.config import ServiceConfig

    deployments.apply(ServiceConfig.model_validate_json(config))
