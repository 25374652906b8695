"""`python -m flows` is the `deepsalt` command."""

from flows.cli import main

main()
