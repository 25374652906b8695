"""`python -m flows` is the `deepsalt` command."""

from flows.command import main

main()
