"""A cluster profile says what is wrong with it in one sentence."""

from pathlib import Path

import pytest

from deepsalt.errors import UsageError
from flows.cluster_profile import ClusterProfile, read_profile

GROUP = '[[groups]]\nname = "cpu"\nmost = 3\n'


def read(folder: Path, text: str) -> ClusterProfile:
    file = folder / "cluster.toml"
    file.write_text(text)
    return read_profile(file)


def test_an_image_and_a_group_are_enough(tmp_path: Path) -> None:
    profile = read(tmp_path, 'image = "i:1"\n' + GROUP)
    assert [(each.name, each.least, each.most) for each in profile.groups] == [("cpu", 0, 3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('image = "i:1"', "is wrong at groups: Field required"),
        (GROUP, "is wrong at image: Field required"),
        ('image = "i:1"\nimages = 2\n' + GROUP, "is wrong at images: Extra inputs"),
        ('image = "i:1"\n' + GROUP + GROUP, "two groups of workers have one name"),
        ('image = "i:1"\n' + GROUP + "maps = false\n", "no group of workers maps scenes"),
        ('image = "i:1"\n' + GROUP + "least = 4\n", "least may not exceed most"),
        ('image = "i:1"\n' + GROUP + "gpus = 2\n", "is wrong at groups.0.gpus"),
        ('image = "i:1"\n[[groups]]\nname = "A b"\nmost = 1', "use up to 30 small letters"),
        ("image = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)


def test_a_profile_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no cluster profile"):
        read_profile(tmp_path / "none.toml")
