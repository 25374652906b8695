"""Entry of the `deepsalt` command: ready to be stopped before anything is loaded."""

import sys
from typing import NoReturn

from flows.stopping import call_off_alarm, stop_cleanly, stop_was_asked_for

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command; Ctrl-C and SIGTERM become one line and an exit code."""
    stop_cleanly()
    try:
        from flows.cli import main as run

        run()
    except BaseException:
        # Whatever ends the command after a stop was asked for is the stop, be it an import that
        # failed by it.
        if not stop_was_asked_for():
            raise
    call_off_alarm()
    sys.stderr.write("deepsalt: stopped; the same command again goes on where it stopped\n")
    sys.exit(INTERRUPTED)
