"""Entry of the `deepsalt` command: ready to be stopped before anything is loaded."""

import sys
from typing import NoReturn

from flows.cli.shared.stopping import UntilStopped

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command; Ctrl-C and SIGTERM become one line and an exit code."""
    with UntilStopped():
        from flows.cli.app import main as run

        run()
    sys.stderr.write("deepsalt: stopped; the same command again continues where it stopped\n")
    sys.exit(INTERRUPTED)
