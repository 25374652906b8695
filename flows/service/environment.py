"""The environment of the service's processes.

Everything that Prefect reads is set here: it stays on this machine, its database stays small, and a
burst of submissions waits for the database instead of failing.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import make_url

from deepsalt.errors import UsageError
from flows.service.config import ServiceConfig
from flows.watch.database import URL_VARIABLE, database_url

HEARTBEAT_S = 60
"""Seconds between two signs of life of a run."""

CANCEL_S = 60
"""Seconds after which the Job of a cancelled run is deleted, if its pod has not ended the run: one
that waits for a node cannot."""

LISTENING = "listening"
"""What the listener writes once nothing that is announced escapes it."""

TAG = "deepsalt"
"""Tag of all deployments and runs of ours."""

POOL, PODS = "deepsalt-local", "deepsalt-kubernetes"
"""Names of the work pool of processes, and of that of pods."""

PASSWORD_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"
"""Environment variable with the server's ``user:password``, which its pages and clients give."""

PAGES_VARIABLE = "DEEPSALT_PAGES"
"""Names where browsers find the objects of a store, and after a blank that store."""

_DAY_S = 86_400
_CANCELLATION = "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_"
_STRANGERS = ("PREFECT_PROFILE", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING")
_DATABASES = ("PREFECT_SERVER_DATABASE_", "PREFECT_API_DATABASE_")
"""Settings of another server's database, which would be taken for ours."""


def environment(config: ServiceConfig) -> dict[str, str]:
    """Return the environment of the service's processes: this one's, and what they need.

    A database's URL lies here and on no command line, which other users can read.
    """
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in _STRANGERS and not key.startswith(_DATABASES)
    }
    password = inherited.get(PASSWORD_VARIABLE)
    if password and config.kubernetes and not config.kubernetes.login_secret:
        raise UsageError(
            f"the server asks for a password ({PASSWORD_VARIABLE}), which runs in pods need from a "
            "Secret; name it as login_secret of [kubernetes]"
        )
    keep_s = str(config.keep_days * _DAY_S)
    own = {
        "PREFECT_HOME": str(config.folder / "prefect"),
        "PREFECT_API_URL": config.api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        # Else the server writes its pages beside its program, which may be read-only.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(config.folder / "pages"),
        # Our warnings, retries and alerts among them, stand on the page of their run.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "deepsalt,catalog,flows",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        # A worker asks every two seconds, so that a new acquisition does not wait for it.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        # Writers wait for SQLite's lock; 500 submissions at once are all taken.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "flow_runs,orphans",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": keep_s,
        # Events reach triggers and the listener; written down, each takes 8 kB and 15 ms.
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
        URL_VARIABLE: database_of(config),
        PAGES_VARIABLE: f"{config.own_pages}/store {config.store}",
    }
    if password:
        own["PREFECT_API_AUTH_STRING"] = password
    if config.kubernetes:
        own[f"{_CANCELLATION}CANCELLING_TIMEOUT_SECONDS"] = str(CANCEL_S)
    if own[URL_VARIABLE].startswith("postgresql:"):
        own |= _for_asyncpg(own[URL_VARIABLE])
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
    return inherited | own | {"PATH": path}


def worker_environment(config: ServiceConfig, usual: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the worker, whose settings of Prefect reach all runs.

    In pods they stand in the manifest, which others read: without the server's database and
    password.

    Parameters
    ----------
    config
        What the service keeps.
    usual
        The environment of the service's processes.
    """
    pods = config.kubernetes
    if pods is None:
        return dict(usual)
    told = "PREFECT_INTEGRATIONS_KUBERNETES_"
    own = {f"{told}OBSERVER_NAMESPACES": pods.namespace}
    if pods.login_secret:
        own[f"{told}WORKER_API_AUTH_STRING_SECRET_NAME"] = pods.login_secret
        own[f"{told}WORKER_API_AUTH_STRING_SECRET_KEY"] = PASSWORD_VARIABLE
    return {key: each for key, each in usual.items() if not key.startswith("PREFECT_SERVER_")} | own


def _for_asyncpg(text: str) -> dict[str, str]:
    """Return a URL of PostgreSQL as the server takes it: its driver has TLS in variables."""
    url = make_url(text)
    tls = {f"PG{key.upper()}": str(told) for key, told in url.query.items() if key[:3] == "ssl"}
    places = {key: url.query[key] for key in ("host", "port") if key in url.query}
    url = url.set(drivername="postgresql+asyncpg", query=places)
    return tls | {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": url.render_as_string(hide_password=False)
    }


def database_of(config: ServiceConfig) -> str:
    """Return the URL of the service's database, with a password only from the environment.

    Raises
    ------
    UsageError
        The configuration's URL has a password, or pods would have to share a file.
    """
    found = os.environ.get(URL_VARIABLE)
    if not found or config.database:
        found = database_url(config.database or f"sqlite:///{config.folder}/ledger.sqlite")
    if config.kubernetes and found.startswith("sqlite"):
        raise UsageError(
            "the ledger is a file of SQLite, which pods cannot share; give PostgreSQL as database, "
            f"or its whole URL as {URL_VARIABLE}"
        )
    return found
