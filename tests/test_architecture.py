"""The import arrows, doors and lightness that ARCHITECTURE.md promises."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("deepsalt", "catalog", "flows")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Level of each unit; a unit imports lower levels, itself, and the siblings named for it.
LEVELS = {
    "deepsalt.errors": 0,
    "deepsalt.inputs": 0,
    "deepsalt.extras": 1,
    "deepsalt.documents": 1,
    "deepsalt.access": 1,
    "deepsalt.effort": 1,
    "deepsalt.naming": 1,
    "deepsalt.progress": 1,
    "deepsalt.concurrency": 1,
    "deepsalt.types": 1,
    "deepsalt.conductivity": 1,
    "deepsalt.objects": 2,
    "deepsalt.spectral": 2,
    "deepsalt.grid": 2,
    "deepsalt.layers": 2,
    "deepsalt.scenes": 3,
    "deepsalt.model": 3,
    "deepsalt.simulate": 3,
    "deepsalt.cube": 4,
    "deepsalt.store": 4,
    "deepsalt.fetch": 5,
    "deepsalt.predict": 5,
    "deepsalt.train": 5,
    "deepsalt.products": 5,
    "deepsalt.sites": 5,
    "deepsalt.compositing": 6,
    "deepsalt.versions": 6,
    "deepsalt.validate": 7,
    "deepsalt.export": 7,
    "deepsalt.context": 8,
    "deepsalt.prevalence": 3,
    "deepsalt.reading": 8,
    "deepsalt.mapping": 9,
    "deepsalt.mosaic": 9,
    "deepsalt.accuracy": 9,
    "deepsalt.benchmark": 8,
    "deepsalt.plot": 7,
    "catalog": 9,
    "deepsalt.check": 10,
    "flows": 11,
    # Doors into flows, found where a user's own package of that name is not.
    "deepsalt.own_packages": 12,
    "deepsalt.deployments": 13,
    "deepsalt.__main__": 13,
}
SIBLINGS = {
    ("deepsalt.access", "deepsalt.documents"),
    ("deepsalt.grid", "deepsalt.layers"),
    ("deepsalt.products", "deepsalt.predict"),
    ("deepsalt.simulate", "deepsalt.scenes"),
}
# Rooms of training; each imports lower levels and itself. A run's configuration names its tables.
TRAIN_ROOMS = {
    "metrics": 0,
    "config": 1,
    "data": 1,
    "duration": 2,
    "teacher": 2,
    "adaptation": 3,
    "uncertainty": 3,
    "student": 4,
    "evaluation": 5,
    "loop": 6,
    "recalibrate": 6,
}
# One library, one door.
DOORS = {
    "prefect": ("flows",),
    "sqlalchemy": ("flows",),
    "prometheus_client": ("flows",),
    "apprise": ("flows",),
    "kubernetes": ("flows",),
    "pydantic": ("flows",),
    "typer": ("flows",),
    "rich": ("flows",),
    "pystac": ("catalog",),
    "pystac_client": ("catalog",),
    "stackstac": ("deepsalt.cube",),
    "rasterio": ("deepsalt.scenes", "deepsalt.simulate"),
    "h5py": ("deepsalt.scenes", "deepsalt.simulate"),
    "imagecodecs": ("deepsalt.scenes",),
    "defusedxml": ("deepsalt.scenes",),
    "distributed": ("flows",),
    "pyproj": ("deepsalt.grid",),
    "httpcore": ("deepsalt.access",),
    "obstore": ("deepsalt.access", "deepsalt.objects", "deepsalt.fetch"),
    "icechunk": ("deepsalt.objects", "deepsalt.versions"),
    "filelock": ("deepsalt.versions",),
    "torch": ("deepsalt.model", "deepsalt.train", "deepsalt.benchmark", "deepsalt.predict"),
    "zarr": (
        "deepsalt.objects",
        "deepsalt.store",
        "deepsalt.products",
        "deepsalt.versions",
        "deepsalt.export",
    ),
    "google_crc32c": ("deepsalt.export",),
    "sklearn": ("deepsalt.train", "deepsalt.benchmark"),
    "matplotlib": ("deepsalt.plot", "deepsalt.benchmark"),
    "PIL": ("deepsalt.plot",),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "deepsalt" else parts[0]


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without what only type checkers see."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from running_nodes(child)


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in running_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_room_imports_lower_rooms_alone(path: Path) -> None:
    room = unit_of(module_name(path))
    if room == "deepsalt":
        return
    for name in imported_modules(path):
        if name.split(".")[0] not in {"deepsalt", "catalog", "flows"}:
            continue
        imported = unit_of(name)
        if imported not in LEVELS:  # `from deepsalt import __version__`
            assert name == "deepsalt.__version__", f"{room} imports {name}, without a level"
            continue
        allowed = (
            imported == room or LEVELS[imported] < LEVELS[room] or (room, imported) in SIBLINGS
        )
        assert allowed, f"{room} may not import {imported}"
        if room == "catalog":
            # access: one place judges hosts and addresses, for catalogues as for files; inputs and
            # documents: one place reads and writes documents; objects: the bytes of a store, which
            # has a catalogue; concurrency, processes: a hundred thousand Items are read side by
            # side.
            assert imported in {"catalog"} | {
                f"deepsalt.{name}"
                for name in (
                    "types",
                    "errors",
                    "access",
                    "documents",
                    "inputs",
                    "objects",
                    "progress",
                    "concurrency",
                )
            }


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_each_library_comes_in_by_its_door(path: Path) -> None:
    room = unit_of(module_name(path))
    for name in imported_modules(path):
        doors = DOORS.get(name.split(".")[0])
        assert doors is None or room in doors, f"{room} imports {name}; only {doors} may"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_only_its_verb_imports_the_benchmark(path: Path) -> None:
    room = module_name(path)
    if room != "flows.cli.models.benchmark" and unit_of(room) != "deepsalt.benchmark":
        assert not [n for n in imported_modules(path) if unit_of(n) == "deepsalt.benchmark"]


TRAINING = [path for path in SOURCES if unit_of(module_name(path)) == "deepsalt.train"]


@pytest.mark.parametrize("path", TRAINING, ids=module_name)
def test_rooms_of_training_import_lower_ones(path: Path) -> None:
    room = next(iter(module_name(path).split(".")[2:]), "loop")  # the package itself
    for name in imported_modules(path):
        if unit_of(name) == "deepsalt.train":
            imported = name.split(".")[2]
            lower = TRAIN_ROOMS[imported] < TRAIN_ROOMS[room]
            together = TRAIN_ROOMS[imported] == TRAIN_ROOMS[room] == TRAIN_ROOMS["data"]
            assert lower or imported == room or together, f"{room} may not import {name}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_functions_take_at_most_five_positional_parameters(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = {arg.arg for arg in (*node.args.posonlyargs, *node.args.args)}
            # Typer makes options of the parameters of a verb.
            assert len(given - {"self", "cls"}) <= 5 or "cli" in path.parts, node.name


CACHES = {"cache", "lru_cache", "functools.cache", "functools.lru_cache"}
STATE = {"dict", "set", "OrderedDict", "defaultdict", "WeakKeyDictionary", "WeakValueDictionary"}
STATE |= {"threading.Event", "Event", "threading.local", "ContextVar", "OpenScenes"}


def called(node: ast.AST | None) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node) if node else ""


def is_state(value: ast.AST | None) -> bool:
    """Whether a module's variable begins as an empty container, or as something that changes."""
    if isinstance(value, ast.List | ast.Set):
        return not value.elts
    if isinstance(value, ast.Dict):
        return not value.keys
    return isinstance(value, ast.Call) and called(value) in STATE and not value.args


def kept_by(path: Path) -> Iterator[str]:
    """Yield the names of what a module keeps between calls."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_state(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from map(ast.unparse, targets)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        if isinstance(node, ast.FunctionDef) and CACHES & set(map(called, node.decorator_list)):
            yield node.name


def test_everything_that_a_process_keeps_is_listed_with_its_lifetime() -> None:
    text = (ROOT / "docs" / "contracts.md").read_text()
    section = text.split("## What a process keeps")[1].split("###")[0]
    rows = section.split("|---|---|---|")[1].splitlines()
    listed: set[str] = set()
    for row in filter(None, rows):
        where, *others = row.split("|")[1].replace("`", "").strip().split(", ")
        listed |= {where, *(f"{where.rpartition('.')[0]}.{other}" for other in others)}
    kept = {f"{module_name(path)}.{name}" for path in SOURCES for name in kept_by(path)}
    assert kept == listed


def writes_of_environment(path: Path) -> Iterator[str]:
    """Yield the statements that change `os.environ`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if ast.unparse(node.value) in {"os.environ", "environ"}:
                yield ast.unparse(node)
        elif isinstance(node, ast.AugAssign) and "environ" in ast.unparse(node.target):
            yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            name = called(node)
            changes = "setdefault|pop|popitem|update|clear|__setitem__|__delitem__"
            if re.fullmatch(rf"((os\.)?environ\.({changes}))|(os\.)?(un|put)(setenv|env)", name):
                yield name


def test_the_environment_changes_only_where_contracts_say_so() -> None:
    text = (ROOT / "docs" / "contracts.md").read_text()
    rows = text.split("### The environment")[1].split("\n## ")[0]
    recorded = set(re.findall(r"^\| `([\w.]+)`", rows, re.MULTILINE))
    found = {module_name(path) for path in SOURCES if any(writes_of_environment(path))}
    assert found == recorded


TESTS = sorted((ROOT / "tests").rglob("*.py"))
PRIVATE = re.compile(r"(deepsalt|catalog|flows)\.([\w.]*\.)?_[a-zA-Z]\w*")


def private_names(path: Path) -> Iterator[str]:
    """Yield names of ours that begin with an underscore: imports, attributes, strings, patches.

    Of an object whose class is not known here, any attribute counts.
    """
    tree = ast.parse(path.read_text())
    ours: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES:
            ours |= {alias.asname or alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if re.match("_[a-zA-Z]", alias.name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match("_[a-zA-Z]", node.attr):
            owner = ast.unparse(node.value).split(".")[0]
            if owner not in {"self", "cls", "os"} or owner in ours:
                yield node.attr
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in PATCHES:
            named = (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant))
            yield from (str(name) for name in named if re.match("_[a-zA-Z]", str(name)))
        if isinstance(node, ast.Constant) and PRIVATE.fullmatch(str(node.value)):
            yield str(node.value)


PATCHES = {"setattr", "delattr", "getattr", "hasattr"}

# Private names that tests touch, and why.
ALLOWED = {
    "_blocks": "tells which of two ways to read is taken; the pixels are equal",
    "_now_s": "the clock of a machine goes backwards",
    "_open": "tells whether the files of a reader were closed",
    "_tiles_along": "tells whether the coarse answer settles it; callers get the same tiles",
    "_wrong": "counts where a polynomial fails",
    "_inflate": "counts the blocks that are decoded",
    "_parameter_openapi_schema": "what a form of the pages shows; Prefect gives it no other name",
    "_read": "counts what is read",
    "_check_composed": "something happens at this moment of a build",
    "_publish": "something happens at this moment of a build",
}


def test_tests_touch_private_names_for_a_reason_alone() -> None:
    found = {name for path in TESTS for name in private_names(path)}
    assert found == set(ALLOWED)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(m.split('.')[0] for m in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_importing_deepsalt_loads_no_heavy_library() -> None:
    assert not loaded_by("import deepsalt") & {"torch", "rasterio", "dask", "prefect", "xarray"}


def test_the_command_starts_without_prefect_or_torch() -> None:
    loaded = loaded_by("import flows.cli.app")
    assert not loaded & {"torch", "rasterio", "dask", "prefect", "matplotlib"}


def test_every_public_name_can_be_imported_and_has_a_docstring() -> None:
    import deepsalt

    for name in deepsalt.__all__:
        if name != "__version__":
            assert getattr(deepsalt, name).__doc__, name


def test_json_is_read_and_written_in_one_place() -> None:
    # loads: what a stranger wrote can be too deep or too large. Printing (`flows/cli`), digests and
    # questions to servers are dumped by their own rules; nobody reads them back from a disk.
    found = {
        f"{module_name(path)}: {ast.unparse(node.func)}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"json.loads", "json.load"}
    }
    assert found == {
        "deepsalt.inputs: json.loads",
        "catalog.geometry: json.loads",  # of what it dumped itself
        "deepsalt.train.evaluation.evaluate: json.loads",  # of its own cache
    }
