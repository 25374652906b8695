"""Orchestration: the run over many scenes, its engines, Prefect flows and the `deepsalt` command.

Takes a user's command line or the parameters of a flow; calls the library and returns progress and
reports. Open `run/run.py` first, then `cli/app.py`. Only the entry points `deepsalt.__main__` and
`deepsalt.deployments` import it.
"""
