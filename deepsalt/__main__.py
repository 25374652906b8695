"""The `deepsalt` command, and `python -m deepsalt`."""

from typing import NoReturn

from deepsalt.beside import load_beside


def main() -> NoReturn:
    """Run the command of the `flows` that lies beside deepsalt."""
    load_beside()
    from flows.command import main as command

    command()


if __name__ == "__main__":
    main()
