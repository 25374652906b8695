"""The verb `mosaic`: build the mosaic of a store and manage its versions and scenes."""

import typer

from flows.cli.mosaic import (
    build,
    classes,
    drop,
    export,
    history,
    prune,
    publish,
    repair,
    rollback,
    withdraw,
)
from flows.cli.shared.extras import Verbs

app = typer.Typer(cls=Verbs, help="Build the mosaic of a store; manage its versions and scenes.")
# In the order of the help.
for verb in (build, history, withdraw, rollback, publish, drop, export, classes, repair, prune):
    app.add_typer(verb.app)
