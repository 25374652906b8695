"""The `deepsalt` command: its verbs, the options before a verb, and how an error ends it."""

import logging
import sys
from typing import Annotated, NoReturn

import typer

from deepsalt import __version__
from deepsalt.errors import DeepsaltError
from flows.cli import access, check, demo, ingest, login, plan, run, scene, search
from flows.cli.models import benchmark, extract, predict_table, train, validate
from flows.cli.mosaic import app as mosaic
from flows.cli.service import proposals, serve, status
from flows.cli.shared.extras import Verbs, extras_line
from flows.engines.allocator import keep_freed_memory
from flows.logs import LogStyle, style_in_use, style_of_environment

app = typer.Typer(
    name="deepsalt",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 partial (some scenes are "
    "missing, the rest is complete), 130 stopped (Ctrl-C or SIGTERM; run again to resume). "
    f"Start with `deepsalt demo`.\n\n{extras_line()}.",
)
# In the order of the help.
for verb in (
    ingest,
    search,
    login,
    demo,
    plan,
    run,
    scene,
    check,
    extract,
    train,
    validate,
    predict_table,
    benchmark,
    serve,
    status,
    proposals,
):
    app.add_typer(verb.app)
app.add_typer(mosaic.app, name="mosaic")
app.add_typer(access.app, name="access")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"deepsalt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show log messages, and tracebacks of errors.")
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option(
            "--log-json",
            help="Write log lines as JSON, with scene, tile and run; also DEEPSALT_LOG=json.",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Map surface soil salinity from hyperspectral satellite scenes."""
    asked = style_of_environment() or LogStyle()
    LogStyle(log_json or asked.as_json, debug).set_up()
    # Its warnings on retries show whole URLs, which may be signed; we report the last failure.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def main() -> NoReturn:
    """Run the command; errors of deepsalt become one sentence and an exit code."""
    keep_freed_memory()  # before libraries start threads, which would get heaps of their own
    try:
        app(standalone_mode=True)
    except DeepsaltError as error:
        if logging.getLogger().isEnabledFor(logging.INFO):  # as --debug asks for
            raise
        style = style_in_use()
        if style is not None and style.as_json:
            logging.getLogger("deepsalt").error("%s", error)
        else:
            typer.secho(f"deepsalt: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)
