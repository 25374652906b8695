"""Connections to schedulers that are gone."""

import pytest
from distributed import Client, LocalCluster

from deepsalt.errors import RunError
from flows.engines.opening import closing


def test_an_error_of_closing_does_not_hide_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        client = Client(cluster, set_as_default=False)

        def broken(**_: object) -> None:
            raise ValueError("IOStream is not idle; cannot convert to SSL")

        with monkeypatch.context() as patch:
            patch.setattr(client, "close", broken)
            with pytest.raises(RunError, match="lost"), closing(client):
                raise RunError("the scheduler is lost")
        assert client.status == "closed"


def test_a_client_is_closed_at_the_end() -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        with closing(Client(cluster, set_as_default=False)) as client:
            assert client.status == "running"
        assert client.status == "closed"
