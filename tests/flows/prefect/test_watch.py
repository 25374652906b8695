"""What a watch tells the runs of its scenes."""

from flows.config import Access, SceneConfig, Selection, WatchConfig
from flows.prefect.watch import scene_of


def test_scenes_of_a_watch_may_refer_to_what_its_catalogue_may() -> None:
    config = WatchConfig(
        name="near",
        selection=Selection(catalogue="http://127.0.0.1:9/v1", allow_hosts=("data.example.org",)),
        out="/s",
        scene=SceneConfig(access=Access(allow_hosts=("mirror.example.org",))),
    )
    found = scene_of(config).access
    assert found.networks == ("loopback",)
    assert found.allow_hosts == ("data.example.org", "mirror.example.org")
