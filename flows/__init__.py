"""Orchestration: the run over many scenes, its engines, Prefect flows and the `deepsalt` command.

In come the words of a user or the parameters of a flow, out come calls of the library, progress and
reports. Open first `run/run.py`, then `cli/app.py`. Nothing imports it but the doors
`deepsalt.__main__` and `deepsalt.deployments`.
"""
