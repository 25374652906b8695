"""The `deepsalt` command, and `python -m deepsalt`."""

import sys
from typing import NoReturn

from deepsalt.errors import UsageError
from deepsalt.own_packages import load_beside


def main() -> NoReturn:
    """Run the command of the `flows` that lies beside deepsalt."""
    try:
        load_beside()
    except UsageError as error:
        sys.stderr.write(f"deepsalt: {error}\n")
        sys.exit(error.exit_code)
    from flows.command import main as command

    command()


if __name__ == "__main__":
    main()
