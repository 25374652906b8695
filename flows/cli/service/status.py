"""The verb `status`."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.service.serve import ConfigFile
from flows.cli.shared.options import Json
from flows.cli.shared.text import duration, place, plain

if TYPE_CHECKING:
    from flows.kubernetes.status import RunStatus
    from flows.service.status import Run, Status

app = typer.Typer()


OfCluster = Annotated[
    bool,
    typer.Option(
        "--cluster", help="Show instead the clusters that runs have on Kubernetes, and their pods."
    ),
]
Namespace = Annotated[str, typer.Option(help="Namespace of the clusters.", show_default=True)]


@app.command(epilog="Example: `deepsalt status --config service.toml`")
def status(
    config: ConfigFile = None,
    of_cluster: OfCluster = False,
    namespace: Namespace = "deepsalt",
    as_json: Json = False,
) -> None:
    """Show how the service stands: queue, failures, alerts, budgets, mosaics, what comes next.

    Exit code 0: the server, or the cluster, answers; 1: it does not.
    """
    if of_cluster:
        _show_clusters(namespace, as_json=as_json)
        return
    from flows.service.config import read_config
    from flows.service.status import status_of

    settings = read_config(config)
    found = status_of(settings)
    if as_json:
        typer.echo(json.dumps(asdict(found), default=lambda moment: moment.isoformat()))
    else:
        typer.echo("\n".join(_lines(found, settings.store)))
    if found.away:
        raise typer.Exit(1)


def _show_clusters(namespace: str, *, as_json: bool) -> None:
    from flows.kubernetes.status import clusters_of

    found = clusters_of(namespace)
    if as_json:
        shown = [asdict(each) for each in found]
        typer.echo(json.dumps(shown, default=lambda moment: moment.isoformat()))
        return
    now = datetime.now(UTC)
    lines = [line for each in found for line in _cluster_lines(each, now)]
    if found:
        forward = f"kubectl -n {namespace} port-forward service/{found[-1].run}-scheduler 8787"
        lines.append(f"next         `{forward}` shows its dashboard at http://localhost:8787")
    else:
        lines.append(f"clusters     none in namespace {namespace}")
        lines.append("next         `deepsalt run --cluster kubernetes ...` makes one for a run")
    typer.echo("\n".join(lines))


def _cluster_lines(found: "RunStatus", now: datetime) -> list[str]:
    lines = [f"cluster      {found.run}, made {_ago(found.since, now)}"]
    lines.append(f"scheduler    {plain(found.scheduler, 2000)}")
    for name, group in found.groups.items():
        counts = [
            f"{number} {state}"
            for number, state in (
                (group.ready, "ready"),
                (group.waiting, "not ready yet"),
                (group.died, "ended with an error"),
            )
            if number
        ]
        why = f" ({plain(group.why, 2000)})" if group.why else ""
        lines.append(f"workers      {name}: {', '.join(counts) or 'none'}{why}")
    if told := found.progress:
        wasted = duration(told["wasted_s"])
        lines.append(
            f"scenes       {told['scenes_left']:,} left, {told['begun_again']} begun again at a "
            f"loss of {wasted}"
        )
    return lines


def _lines(found: "Status", store: str) -> list[str]:
    now = datetime.now(UTC)
    lines = [f"server       {found.away or found.server}"]
    if not found.away:
        lines.append(f"queue        {found.queued} waiting, {len(found.at_work)} at work")
        lines += [f"             {_run(each, now)}" for each in found.at_work]
        lines.append(f"failed       {found.failures} within a day")
        lines += [f"             {_run(each, now)}" for each in found.failed]
    lines += [f"alert        {plain(each.sentence, 2000)}" for each in found.alerts]
    for budget in found.budgets:
        lines.append(f"budget       {plain(budget.watch)}: {budget.used:.0%} spent or under way")
    counts = ", ".join(f"{number:,} {state}" for state, number in sorted(found.submissions.items()))
    lines.append(f"scenes       {counts or 'none was submitted yet'}")
    for collection, when in sorted(found.news.items()):
        lines.append(f"newest       {plain(collection)}: announced {_ago(when, now)}")
    if found.proposals:
        lines.append(f"proposals    {found.proposals} to withdraw: `deepsalt proposals` lists them")
    lines.append(f"quarantine   {found.quarantined}")
    for each in found.mosaics:
        lines.append(
            f"mosaic       {each.period}: {each.tiles:,} tiles, version {each.version}, made "
            f"{_ago(each.created, now)}"
        )
    if not found.mosaics:
        lines.append("mosaic       none is published yet")
    lines += [f"held         {id}: waits for a person" for id in found.held]
    for run in found.coming[:5]:
        lines.append(f"coming       {plain(run.name)}  {_ago(run.when, now)}")
    lines += [f"unknown      {plain(each, 2000)}" for each in found.unknown]
    lines.append(f"next         {_next(found, store)}")
    return lines


def _next(found: "Status", store: str) -> str:
    if found.away:
        return "do what the first line says, then ask again"
    if found.held:
        return f"`deepsalt mosaic history {place(store)}` shows what is held, and why"
    if found.failures:
        return f"open {found.server} for the logs of a failed run"
    if found.mosaics:
        return f"`deepsalt check {place(store)}` looks at every product and tile"
    return f"open {found.server} to see runs as they come"


def _run(run: "Run", now: datetime) -> str:
    said = f": {plain(run.message, 500)}" if run.message else ""
    return f"{plain(run.name)}  {run.state.lower()} {_ago(run.when, now)}{said}"


def _ago(when: datetime, now: datetime) -> str:
    seconds = (now - when).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
