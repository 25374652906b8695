"""The command: help, exit codes, one clear sentence for bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deepsalt.errors import DeepsaltError
from flows.cli.shared.groups import OPTIONS_OF_FIELDS
from flows.config import Checks, Compute, Export, Grid, Scratch, Selection
from tests.flows.conftest import Scenes, deepsalt
from tests.made.generic import cube
from tests.waiting import wait_until

VERBS = (
    "demo",
    "search",
    "login",
    "ingest",
    "plan",
    "run",
    "scene",
    "mosaic",
    "train",
    "predict-table",
    "check",
)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_exists(verb: str) -> None:
    result = deepsalt(verb, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "mosaic"])
def test_help_of_each_verb_gives_an_example(verb: str) -> None:
    assert "Example" in deepsalt(verb, "--help").output


def refused(*args: object) -> DeepsaltError:
    """Return the error that a call ends in."""
    result = deepsalt(*args)
    assert isinstance(result.exception, DeepsaltError), (result.output, result.exception)
    return result.exception


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--bbox", "10,10,11,11"], 2, "no scene"),
        (["--bbox", "10,10"], 2, "--bbox is W,S,E,N"),
        (["--bbox", "1,2,3,4", "--area", "x.geojson"], 2, "exclude each other"),
        (["--datetime", "yesterday"], 2, "yesterday"),
        (["--crs", "EPSG:999999"], 2, "EPSG:999999"),
        (["--crs", "EPSG:4326"], 2, "projected CRS"),
        (["--resolution", "-3"], 2, "--resolution cannot be -3"),
        (["--model", "no-such-model"], 2, "no-such-model"),
        (["--workers", "1", "--scheduler", "tcp://x"], 2, "exclude each other"),
        (["--area", "no-such-file.geojson"], 2, "no-such-file.geojson"),
        (["--memory", "plenty"], 2, "--memory cannot be 'plenty'"),
        (["--memory", "300MB"], 2, "GB of memory but has 0.3 GB; use fewer --threads"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_bad_options_get_one_sentence_and_write_nothing(
    verb: str, options: list[str], code: int, words: str, catalogue: Path, tmp_path: Path
) -> None:
    error = refused(verb, "--catalogue", catalogue, "--out", tmp_path / "store", *options)
    assert error.exit_code == code
    assert words in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "store" / "scenes").exists()


def test_each_field_of_an_option_has_an_option() -> None:
    given = deepsalt("run", "--help").output
    models = (Selection, Compute, Grid, Scratch, Checks, Export)
    for field in (name for model in models for name in model.model_fields):
        assert OPTIONS_OF_FIELDS.get(field, f"--{field.replace('_', '-')}") in given, field


@pytest.mark.parametrize(
    "command",
    [
        ("demo", "--out"),
        ("ingest", "product", "--to"),
        ("train", "--lab", "table.csv", "--out"),
        ("predict-table", "table.csv", "--out"),
        ("benchmark", "--quick", "--out"),
        ("run", "--catalogue", "catalogue", "--out", "store", "--scratch"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_url_where_a_folder_is_written_is_refused(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused(*command, "s3://bucket/store")
    assert error.exit_code == 2
    assert "'s3://bucket/store' is a URL" in str(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("ftp://host/store", "ftp:// cannot hold a store"),
        ("s3://user:secret@bucket/store", "must not have credentials"),
        ("s3://", "has no valid bucket name"),
        ("s3:/bucket/store", "needs // after s3:"),
        ("memory://", "has no valid bucket name"),
        ("memory://here", "would be lost when this command ends"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("run", "--catalogue", "catalogue", "--out"),
        ("plan", "--catalogue", "catalogue", "--out"),
        ("scene", "item.json", "--out"),
        ("check",),
        ("mosaic", "build"),
        ("mosaic", "history"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_is_no_place_for_a_store_is_refused(
    command: tuple[str, ...], place: str, words: str
) -> None:
    error = refused(*command, place)
    assert error.exit_code == 2
    assert words in str(error)
    assert "secret" not in str(error)


def test_the_process_ends_with_the_exit_code_and_one_line(catalogue: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flows", "run", "--catalogue", str(tmp_path / "nowhere")]
    run = subprocess.run([*command, "--out", str(tmp_path / "s")], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.startswith("deepsalt: ")
    assert run.stderr.count("\n") == 1
    assert "Traceback" not in run.stderr


def test_ingest_names_what_it_refuses_and_adds_the_rest(scenes: Scenes, tmp_path: Path) -> None:
    result = deepsalt("ingest", scenes.prisma, tmp_path, "--to", tmp_path / "catalogue", "--json")
    outcome = json.loads(result.stdout)
    assert result.exit_code == 3
    assert len(outcome["items"]) == 1
    assert list(outcome["refused"]) == [str(tmp_path)]


def refusals(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("refused: ")]


def test_one_bad_product_does_not_stop_the_others_of_an_ingest(
    scenes: Scenes, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.he5"
    damaged.write_bytes(scenes.prisma.read_bytes()[:-2000])
    os.mkfifo(tmp_path / "pipe.tif")
    bad = (damaged, tmp_path / "none", tmp_path / "pipe.tif")
    result = deepsalt(
        "ingest", bad[0], scenes.west, *bad[1:], scenes.prisma, "--to", tmp_path / "c"
    )
    assert result.exit_code == 3
    assert result.stdout.startswith("2 added")
    lines = refusals(result.stderr)
    for path, line in zip(bad, lines, strict=True):
        assert line.startswith(f"refused: {path} ")


def test_an_ingest_of_bad_products_alone_names_each_and_fails(tmp_path: Path) -> None:
    bad = (tmp_path / "none", tmp_path / "nothing")
    result = deepsalt("ingest", *bad, "--to", tmp_path / "c")
    assert isinstance(result.exception, DeepsaltError)
    assert result.exception.exit_code == 2
    assert str(result.exception).startswith("none of the 2 products can be used")
    (line,) = refusals(result.stderr)
    assert line.startswith(f"refused: {bad[0]} does not exist")
    assert line.endswith(f"the same applies to {bad[1]} (2 in all)")


def test_one_reason_of_many_products_is_one_line_with_a_count(tmp_path: Path) -> None:
    bad = [tmp_path / f"none-{number:02d}" for number in range(14)]
    (line,) = refusals(deepsalt("ingest", *bad, "--to", tmp_path / "c").stderr)
    assert line.endswith(f"{bad[3]}, 10 more (14 in all)")


def test_the_products_in_a_folder_are_ingested_and_that_is_said(
    scenes: Scenes, tmp_path: Path
) -> None:
    result = deepsalt("ingest", scenes.west.parent, "--to", tmp_path / "c")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "is a folder of products; each is ingested: 3" in " ".join(result.stderr.split())
    assert result.stdout.startswith("3 added")
    assert f"deepsalt run --catalogue {tmp_path / 'c'} --out STORE" in result.stdout


def test_short_names_of_products_do_not_keep_equal_reasons_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = refusals(deepsalt("ingest", "x", "y", "--to", "c").stderr)
    assert line.endswith("the same applies to y (2 in all)")


@pytest.mark.parametrize(
    ("name", "command"), [("scene.zip", "unzip"), ("scene.tar.gz", "tar -xf")], ids=["zip", "tar"]
)
def test_a_packed_product_is_refused_with_how_to_unpack_it(
    name: str, command: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"PK")
    said = str(refused("ingest", tmp_path / name, "--to", tmp_path / "c"))
    assert f"unpack it with `{command} {tmp_path / name}`" in said


def test_a_folder_of_packed_products_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "scene.zip").write_bytes(b"PK")
    assert "holds only packed products (1, such as scene.zip)" in str(
        refused("ingest", tmp_path, "--to", tmp_path / "c")
    )


def test_a_folder_one_level_too_high_says_where_the_products_are(
    scenes: Scenes, tmp_path: Path
) -> None:
    (tmp_path / "high" / "other").mkdir(parents=True)
    (tmp_path / "high" / "scenes").symlink_to(scenes.west.parent)
    said = str(refused("ingest", tmp_path / "high", "--to", tmp_path / "c"))
    assert f"{tmp_path / 'high'} holds no products; its folder scenes holds 3, such as" in said


def test_an_empty_folder_is_refused_as_empty(tmp_path: Path) -> None:
    said = str(refused("ingest", tmp_path, "--to", tmp_path / "c"))
    assert said == f"{tmp_path} is empty; give a product folder or file"


def test_a_cube_with_the_name_of_another_is_refused_and_the_others_are_added(
    scenes: Scenes, tmp_path: Path
) -> None:
    cubes = []
    for seed, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        cubes.append(cube(tmp_path / folder / "cube.tif", dtype="int16", resolution=30.0 + seed))
    result = deepsalt(
        "ingest", *cubes, scenes.prisma, "--to", tmp_path / "c", "--scale", 0.0001, "--json"
    )
    outcome = json.loads(result.stdout)
    assert result.exit_code == 3
    assert len(outcome["items"]) == 2
    assert list(outcome["refused"]) == [str(cubes[1])]
    assert "rename one of the files" in outcome["refused"][str(cubes[1])]


@pytest.mark.parametrize("cloud", ["many", [1], 1e999, "nan"], ids=str)
def test_search_shows_a_cloud_cover_that_is_none_as_unknown(
    scenes: Scenes, tmp_path: Path, cloud: object
) -> None:
    assert deepsalt("ingest", scenes.prisma, "--to", tmp_path / "c").exit_code == 0
    (path,) = (tmp_path / "c").rglob("PRS*.json")
    document = json.loads(path.read_text())
    document["properties"]["eo:cloud_cover"] = cloud
    path.write_text(json.dumps(document))
    result = deepsalt("search", "--catalogue", tmp_path / "c")
    assert result.exception is None or isinstance(result.exception, DeepsaltError)


def test_ingest_of_nothing_usable_fails(tmp_path: Path) -> None:
    assert refused("ingest", tmp_path, "--to", tmp_path / "catalogue").exit_code == 2
    assert not (tmp_path / "catalogue").exists()


def test_search_prints_items_as_json(catalogue: Path) -> None:
    items = json.loads(deepsalt("search", "--catalogue", catalogue, "--json").stdout)
    assert len(items) == 3
    assert {item["stac_version"] for item in items} == {"1.1.0"}


def test_search_by_collection_finds_only_that(catalogue: Path) -> None:
    args = ("search", "--catalogue", catalogue, "--collection", "prisma-l2d", "--json")
    assert [item["collection"] for item in json.loads(deepsalt(*args).stdout)] == ["prisma-l2d"]


def test_plan_counts_what_a_run_would_do(catalogue: Path, tmp_path: Path) -> None:
    result = deepsalt("plan", "--catalogue", catalogue, "--out", tmp_path / "store", "--json")
    plan = json.loads(result.stdout)
    assert plan["scenes"] == 3
    assert plan["present"] == 0
    assert plan["scene_pixels"] == 150 * 130 + 140 * 150 + 120 * 120
    assert plan["tiles"] == 4
    assert plan["read_bytes"] > 1_000_000
    assert plan["worker_memory_bytes"] > 100_000_000
    assert not (tmp_path / "store").exists()


def test_plan_leaves_out_what_is_complete(catalogue: Path, mapped: Path) -> None:
    result = deepsalt("plan", "--catalogue", catalogue, "--out", mapped, "--json")
    plan = json.loads(result.stdout)
    assert (plan["present"], plan["scene_pixels"], plan["read_bytes"]) == (3, 0, 0)


def test_history_lists_the_published_version(mapped: Path) -> None:
    versions = json.loads(deepsalt("mosaic", "history", mapped, "--json").stdout)
    assert [version["state"] for version in versions] == ["published"]
    assert len(versions[0]["added"]) == 3


def test_a_mapped_store_passes_its_check(mapped: Path) -> None:
    result = deepsalt("check", mapped, "--json")
    assert result.exit_code == 0, result.output
    assert not [f for f in json.loads(result.stdout) if f["severity"] != "info"]


@pytest.mark.parametrize(
    ("option", "check"),
    [(("--max-age", 1), "freshness"), (("--max-salinity", 0.01), "range")],
    ids=["age", "range"],
)
def test_check_fails_beyond_a_limit(mapped: Path, option: tuple[str, float], check: str) -> None:
    result = deepsalt("check", mapped, *option, "--json")
    errors = {f["check"] for f in json.loads(result.stdout) if f["severity"] == "error"}
    assert result.exit_code == 1
    assert errors == {check}


def test_warnings_alone_leave_check_at_0(store: Path) -> None:
    (store / "scenes" / "half.zarr").mkdir()
    (store / "scenes" / "half.zarr" / "zarr.json").write_text("{}")
    os.utime(store / "scenes" / "half.zarr" / "zarr.json", (0, 0))
    result = deepsalt("check", store, "--quick")
    assert result.exit_code == 0
    assert "0 errors, 1 warnings; nothing is broken" in result.output


def test_check_fails_on_a_damaged_shard(store: Path) -> None:
    shard = max((store / "mosaic" / "chunks").rglob("*"), key=lambda p: p.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-10])
    result = deepsalt("check", store)
    assert result.exit_code == 1
    assert "tile " in result.output
    assert f"next: `deepsalt mosaic repair {store}`" in result.output


def test_weights_that_disagree_with_their_card_are_refused(catalogue: Path, tmp_path: Path) -> None:
    from deepsalt.model.load import model_ref

    model = Path(shutil.copytree(model_ref().path, tmp_path / "model"))
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\1\2\3")
    args = ("run", "--catalogue", catalogue, "--out", tmp_path / "store", "--model", model)
    error = refused(*args)
    assert error.exit_code == 2
    assert "card" in str(error)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_another_model_is_refused_by_a_store(
    verb: str, catalogue: Path, store: Path, tmp_path: Path
) -> None:
    from deepsalt.model.load import model_ref

    model = Path(shutil.copytree(model_ref().path, tmp_path / "model"))
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps({**card, "version": "another"}))
    error = refused(verb, "--catalogue", catalogue, "--out", store, "--model", model)
    assert error.exit_code == 2
    assert "model" in str(error)


def test_an_out_below_a_file_is_refused(catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused("run", "--catalogue", catalogue, "--out", tmp_path / "file" / "store")
    assert "file" in str(error)


@pytest.mark.parametrize("verb", [("mosaic", "history"), ("mosaic", "build"), ("check",)])
def test_a_folder_without_a_store_is_bad_input(verb: tuple[str, ...], tmp_path: Path) -> None:
    error = refused(*verb, tmp_path)
    assert error.exit_code == 2
    assert "not a deepsalt store" in str(error)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stop_is_one_clean_line(number: signal.Signals, catalogue: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-m", "flows", "run", "--catalogue", str(catalogue)]
    run = subprocess.Popen(
        [*command, "--out", str(store)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background makes its children deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until((store / "store.json").exists, "no store is made")
    run.send_signal(number)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.splitlines()[-1].startswith("deepsalt: stopped")
    assert "Traceback" not in said


def test_workers_do_not_hear_the_ctrl_c_of_a_terminal(catalogue: Path, tmp_path: Path) -> None:
    options = ["--catalogue", str(catalogue), "--out", str(tmp_path / "store"), "--workers", "1"]
    run = subprocess.Popen(
        [sys.executable, "-m", "flows", "run", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until(
        lambda: any("spawn_main" in " ".join(each.cmdline()) for each in children_of(run.pid)),
        "no worker starts",
    )
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("deepsalt: stopped")


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_run_does_not_write_over_a_catalogue(verb: str, catalogue: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(catalogue, tmp_path / "catalogue"))
    before = {path: path.read_bytes() for path in copy.rglob("*.json")}
    error = refused(verb, "--catalogue", copy, "--out", copy)
    assert error.exit_code == 2
    assert "catalog.json" in str(error)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_ingest_does_not_write_over_a_store(scenes: Scenes, store: Path) -> None:
    before = (store / "catalog.json").read_bytes()
    assert refused("ingest", scenes.prisma, "--to", store).exit_code == 2
    assert (store / "catalog.json").read_bytes() == before


@pytest.fixture(scope="module")
def said_by_run(catalogue: Path, mapped: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `run` says of a store where all is complete."""
    store = shutil.copytree(mapped, tmp_path_factory.mktemp("said") / "store", symlinks=True)
    result = deepsalt("run", "--catalogue", catalogue, "--out", store)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.replace(str(store), "STORE")


@pytest.mark.parametrize(
    "line",
    [
        "no estimate  in ",
        "limits       the surface only; salinity_lower and salinity_upper are a 90 % interval",
        "picture      STORE/quicklook.png",
        "next         `deepsalt check STORE`",
    ],
    ids=lambda line: line.split()[0],
)
def test_a_run_ends_with_what_its_map_shows_and_what_is_next(line: str, said_by_run: str) -> None:
    assert any(each.startswith(line) for each in said_by_run.splitlines()), said_by_run


def test_a_search_ends_with_what_is_next_beside_its_lines(catalogue: Path) -> None:
    result = deepsalt("search", "--catalogue", catalogue)
    assert len(result.stdout.splitlines()) == 3
    assert "next: the same options with `plan`" in result.stderr


def test_a_plan_ends_with_what_is_next(catalogue: Path, tmp_path: Path) -> None:
    said = deepsalt("plan", "--catalogue", catalogue, "--out", tmp_path / "store").stdout
    assert said.splitlines()[-1].startswith("next      the same options with `run`")


def test_a_check_ends_with_where_the_picture_is(mapped: Path) -> None:
    said = deepsalt("check", mapped).stdout
    assert f"next: look at {mapped / 'quicklook.png'}" in said.splitlines()[-1]


def test_a_check_of_a_limit_does_not_send_to_a_repair(mapped: Path) -> None:
    said = deepsalt("check", mapped, "--quick", "--max-age", 1).stdout
    assert said.splitlines()[-1] == "next: do what each error says, then check again"


def test_scenes_of_unknown_cloud_are_counted_where_a_largest_one_is_asked_for(
    catalogue: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(catalogue, tmp_path / "catalogue")
    (path,) = copy.rglob("PRS*.json")
    document = json.loads(path.read_text())
    del document["properties"]["eo:cloud_cover"]
    path.write_text(json.dumps(document))
    result = deepsalt("search", "--catalogue", copy, "--max-cloud", 90)
    assert "1 more would match, but state no cloud cover" in " ".join(result.stderr.split())


def test_other_files_in_a_folder_to_write_to_are_said(scenes: Scenes, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    first, again = (deepsalt("ingest", scenes.prisma, "--to", tmp_path) for _ in range(2))
    assert f"{tmp_path} holds other files (notes.txt)" in first.stderr
    assert "other files" not in again.stderr


def test_a_plan_says_which_other_files_are_in_its_folder(catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    said = deepsalt("plan", "--catalogue", catalogue, "--out", tmp_path).stderr
    assert f"{tmp_path} holds other files (notes.txt)" in said


def test_a_scene_ends_with_what_is_next_beside_other_files(scenes: Scenes, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    result = deepsalt("scene", scenes.prisma, "--out", tmp_path)
    assert f"{tmp_path} holds other files (notes.txt)" in result.stderr
    assert result.stdout.splitlines()[-1].startswith(
        f"next         `deepsalt mosaic build {tmp_path}`"
    )


def test_a_demo_says_which_other_files_are_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise DeepsaltError("far enough")

    monkeypatch.setattr("flows.demo.simulated_catalogue", stop)
    (tmp_path / "notes.txt").touch()
    assert "holds other files (notes.txt)" in deepsalt("demo", "--out", tmp_path).stderr
    (tmp_path / "input").mkdir()
    assert "other files" not in deepsalt("demo", "--out", tmp_path).stderr


def test_the_help_lists_the_exit_code_of_a_stop() -> None:
    assert "130 stopped" in " ".join(deepsalt("--help").output.split())


def test_remarks_on_many_tiles_are_one_line_with_their_range(mapped: Path) -> None:
    said = deepsalt("check", mapped, "--quick").stdout + deepsalt("check", mapped).stdout
    (line,) = [line for line in said.splitlines() if "have no estimate" in line]
    each = [
        finding["found"]
        for finding in json.loads(deepsalt("check", mapped, "--json").stdout)
        if finding["check"] == "missing"
    ]
    shares = sorted(float(found.partition("%")[0]) for found in each)
    assert "and 3 more: " in line
    assert f": {shares[0]} to {shares[-1]}% of " in line


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_store_of_dated_periods_says_how_to_have_all_dates_too(
    verb: str, catalogue: Path, mapped: Path
) -> None:
    dated = ("--datetime", "2024-04-01/2024-05-31")
    said = str(refused(verb, "--catalogue", catalogue, "--out", mapped, *dated))
    assert "for both, use two stores" in said
