"""Orchestration: the run, its Prefect flows and the `deepsalt` command. Nothing imports it."""
