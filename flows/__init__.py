"""Orchestration: the run, its Prefect flows and the `deepsalt` command.

Nothing imports it but the doors `deepsalt.__main__` and `deepsalt.deployments`.
"""
