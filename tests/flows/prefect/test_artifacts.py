"""What an operator sees of a run: links into the store, shares, progress; never a failure."""

import logging
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from deepsalt.products import prefix_of
from deepsalt.store import Store
from flows.prefect import artifacts
from flows.prefect.artifacts import Shown, link, show_judgement, show_mosaic, show_scene
from flows.publication import picture_key
from flows.run.mosaic import MosaicResult
from flows.service.config import ServiceConfig
from flows.service.environment import PAGES_VARIABLE, environment
from flows.watch.costs import Amounts
from flows.watch.freshness import Freshness, MosaicFreshness, Usual
from flows.watch.judge import Judgement
from tests.flows.watch.world import DAWN
from tests.store.builders import acquisition, add_product, make_store

HOUR = timedelta(hours=1)


class Server:
    """Takes artifacts in place of Prefect's, or is away."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.progress: list[tuple[float, str]] = []
        self.calls = 0
        self.is_away = False

    def text(self, markdown: str, key: str, description: str) -> UUID:
        self._call()
        self.texts[key] = markdown
        return uuid4()

    def begin(self, percent: float, key: str, said: str) -> UUID:
        return self.update(uuid4(), percent, said)

    def update(self, artifact: UUID, percent: float, said: str) -> UUID:
        self._call()
        self.progress.append((percent, said))
        return artifact

    def _call(self) -> None:
        self.calls += 1
        if self.is_away:
            raise httpx.ConnectError("away")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(artifacts, "create_markdown_artifact", server.text)
    monkeypatch.setattr(artifacts, "create_progress_artifact", server.begin)
    monkeypatch.setattr(artifacts, "update_progress_artifact", server.update)
    return server


@pytest.fixture
def store(tmp_path) -> Store:
    return make_store(tmp_path / "a store")


def report(product: str) -> dict[str, object]:
    shares = {"pixels": 2000, "estimated": 1500, "by_flag": {"dry_vegetation": 500}}
    return {"scene": "test/a/1", "status": "written", "product": product, **shares}


def test_a_scene_has_one_artifact_with_links_and_shares(server: Server, store: Store) -> None:
    product = add_product(store, acquisition("a"), seed=1)
    show_scene(store, report(product))
    assert server.calls == 1
    text = server.texts["scene"]
    assert f"[picture]({(store.objects.path / picture_key(product)).as_uri()})" in text
    assert "[Item](file://" in text
    assert f"product: `{store}/{prefix_of(product)}`" in text
    assert "| dry vegetation | 25.0% | 500 |" in text


def test_the_picture_of_a_scene_is_in_the_store(server: Server, store: Store) -> None:
    product = add_product(store, acquisition("a"), seed=1)
    show_scene(store, report(product))
    assert store.objects.read(picture_key(product)).startswith(b"\x89PNG")


def test_a_scene_without_a_product_is_shown(server: Server, store: Store) -> None:
    show_scene(store, {**report(""), "status": "failed"})
    assert "is failed" in server.texts["scene"]


def test_a_held_version_is_shown_with_the_reason(server: Server, store: Store) -> None:
    why = "50% of a tile's estimates are lost"
    show_mosaic(store, MosaicResult("v", held=True, tiles=1, composed=1, pixels=4, why_held=why))
    assert f"**held back**: {why}" in server.texts["mosaic"]


def test_a_judgement_is_a_table_of_collections(server: Server, store: Store) -> None:
    usual = Usual(12 * HOUR, 20 * HOUR, 6 * HOUR, 18 * HOUR)
    found = (
        Freshness("enmap", 90, DAWN, DAWN + 12 * HOUR, usual),
        Freshness("prisma", 2, unjudged="2 times of news are too few"),
    )
    mosaic = MosaicFreshness("v", DAWN, (), None, 7 * HOUR)
    spent = Amounts(scenes=8, fetched_bytes=4e9, expected_bytes=5e9, worker_s=90, expected_s=180)
    show_judgement(store, Judgement((), found, mosaic), spent)
    text = server.texts["freshness"]
    assert "| enmap | 2026-03-01 06:00 | 2026-03-01 18:00 | 12 h | 6 h at most | fresh |" in text
    assert "2 times of news are too few" in text
    assert "| cost of 8 scenes | estimated | actual |" in text
    assert "| fetched, GB | 5.00 | 4.00 |" in text
    assert "[coverage](file://" in text


def test_a_server_that_is_away_is_a_warning(
    server: Server, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    server.is_away = True
    show_mosaic(store, MosaicResult("v", held=False, tiles=1, composed=1))
    assert caplog.messages == ["the run's page has no mosaic (ConnectError); the run goes on"]


def test_progress_is_shown_every_five_seconds(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(1000))
    monkeypatch.setattr("flows.prefect.artifacts.time.monotonic", lambda: next(seconds) + 100.0)
    shown = Shown()
    shown.start("scenes", 50)
    for _ in range(50):
        shown.advance("scenes")
        shown.advance("chunks")
    assert server.progress[0] == (0.0, "0 of 50 scenes")
    assert server.progress[-1] == (100.0, "50 of 50 scenes")
    assert len(server.progress) == 11


def test_progress_asks_a_server_that_is_away_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.is_away = True
    shown = Shown()
    shown.start("scenes", 2)
    with caplog.at_level(logging.WARNING):
        shown.advance("scenes", 2)
    assert server.calls == 1


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("s3://maps/asia", "https://maps.s3.amazonaws.com/asia/quick%20look.png"),
        ("gs://maps", "https://storage.googleapis.com/maps/quick%20look.png"),
    ],
)
def test_a_link_into_a_bucket_is_one_that_a_browser_opens(place: str, expected: str) -> None:
    from deepsalt.objects import Objects

    store = Store(Objects.of(place), make_store().grid, "ab" * 32, "all")
    assert link(store, "quick look.png") == expected


@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("127.0.0.1", "http://127.0.0.1:4201", id="this machine"),
        pytest.param("0.0.0.0", "http://127.0.0.1:4201", id="all addresses"),
        pytest.param("::1", "http://[::1]:4201", id="IPv6"),
    ],
)
def test_a_link_into_the_folder_of_a_service_is_one_that_a_browser_opens(
    store: Store, monkeypatch: pytest.MonkeyPatch, host: str, address: str
) -> None:
    config = ServiceConfig(store=str(store), host=host)
    monkeypatch.setenv(PAGES_VARIABLE, environment(config)[PAGES_VARIABLE])
    assert link(store, "quick look.png") == f"{address}/store/quick%20look.png"


def test_a_link_into_another_folder_is_not_one_of_the_service(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ServiceConfig(store=str(tmp_path / "of the service"))
    monkeypatch.setenv(PAGES_VARIABLE, environment(config)[PAGES_VARIABLE])
    assert link(store, "quicklook.png").startswith("file://")
