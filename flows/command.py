"""Entry point of the `deepsalt` command: it can be stopped before anything is loaded."""

import sys
from contextlib import suppress
from typing import NoReturn

from flows.cli.shared.stopping import UntilStopped

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command; Ctrl-C, SIGTERM and a closed terminal become one line and an exit code."""
    with UntilStopped():
        from flows.cli.app import main as run

        run()
    with suppress(OSError):  # the terminal was closed
        sys.stderr.write("deepsalt: stopped; run the same command again to resume\n")
    sys.exit(INTERRUPTED)
