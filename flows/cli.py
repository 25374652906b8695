"""The `deepsalt` command: parse, call, print.

Verbs live in `cli_*.py`, one file per group. Each imports what it needs when it is called, so that
the command starts quickly and Prefect is loaded only when asked for.
"""

import logging
import os
import sys
from typing import Annotated, NoReturn

import typer

from deepsalt import __version__
from deepsalt.errors import DeepsaltError
from flows import cli_benchmark, cli_catalogue, cli_model, cli_mosaic, cli_run
from flows.allocator import keep_freed_memory

app = typer.Typer(
    name="deepsalt",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 partial (some scenes are "
    "quarantined, the rest is complete). Start with `deepsalt demo`.",
)
cli_catalogue.add_to(app)
cli_run.add_to(app)
cli_mosaic.add_to(app)
cli_model.add_to(app)
cli_benchmark.add_to(app)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"deepsalt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and log messages.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Map surface soil salinity from hyperspectral satellite scenes."""
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING)
    # Its warnings on retries show whole URLs, which may be signed; the last failure is told by us.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if debug:
        os.environ["DEEPSALT_DEBUG"] = "1"


def main() -> NoReturn:
    """Run the command; errors of deepsalt become one sentence and an exit code."""
    keep_freed_memory()  # before libraries start threads, which would have heaps of their own
    try:
        app(standalone_mode=True)
    except DeepsaltError as error:
        if os.environ.get("DEEPSALT_DEBUG"):
            raise
        typer.secho(f"deepsalt: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)
