import tracemalloc

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.core.sync import sync

from deepsalt.errors import GridError, StoreError
from deepsalt.grid import Frame, MosaicGrid, Tile, to_lonlat, transform
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.versions import Job, create_mosaic, tile_digest, write_tile
from deepsalt.versions.arrays import frame_of, read_counts, read_digests, read_products, report_of
from deepsalt.versions.repository import MAIN, Mosaic
from tests.versions.world import GRID, PX, new, somewhere, tile

NO_AREA = (
    'PROJCRS["mine",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",'
    'ELLIPSOID["WGS 84",6378137,298.257223563]]],CONVERSION["c",METHOD["Lambert Azimuthal Equal '
    'Area"],PARAMETER["Latitude of natural origin",45],PARAMETER["Longitude of natural origin",60],'
    'PARAMETER["False easting",0],PARAMETER["False northing",0]],CS[Cartesian,2],AXIS["e",east],'
    'AXIS["n",north],LENGTHUNIT["metre",1]]'
)


@pytest.fixture
def mosaic() -> Mosaic:
    return new()


def shard(value: float, flags: int = 0) -> dict[str, NDArray[np.generic]]:
    layers = {x.name: np.full(x.shape(PX, PX), x.fill, x.dtype) for x in MOSAIC_LAYERS}
    layers["salinity"][:] = value
    layers["quality_flags"][:] = flags
    return layers


def job_of(mosaic: Mosaic, *products: str, before: int = 0) -> Job:
    return Job(mosaic.frame, 3, tile(0), tuple(sorted(products)), before)


@pytest.mark.parametrize(
    ("crs", "lonlat"),
    [
        ("EPSG:6933", (-180.0, 0.0)),
        ("EPSG:6933", (180.0, 83.0)),
        ("EPSG:32633", (12.0, 84.0)),
        ("EPSG:32633", (18.0, 0.0)),
        ("EPSG:3035", (32.0, 71.0)),
        ("EPSG:3577", (153.0, -28.0)),
    ],
)
def test_the_extent_holds_the_area_of_use_and_500_km_more(
    crs: str, lonlat: tuple[float, float]
) -> None:
    frame = Frame.of(MosaicGrid.from_options(crs))
    west, south, east, north = frame.pixels.bounds
    (x,), (y,) = transform("EPSG:4326", crs, np.array([lonlat[0]]), np.array([lonlat[1]]))
    assert west + 499_000 < x < east - 499_000
    assert south + 499_000 < y < north - 499_000


def test_the_extent_of_a_world_is_as_large_as_its_crs_and_a_margin() -> None:
    assert Frame.of(MosaicGrid.from_options("EPSG:6933")).shape == (256, 582)


def test_without_an_area_of_use_the_extent_is_5000_km_around_the_anchor() -> None:
    west, south, east, north = Frame.of(MosaicGrid(NO_AREA, 1000.0)).pixels.bounds
    size = MosaicGrid(NO_AREA, 1000.0).tile_px * 1000.0
    assert all(5e6 <= abs(edge) < 5e6 + size for edge in (west, south, east, north))


def test_the_first_cell_is_the_north_west_one() -> None:
    frame = Frame.of(GRID)
    first = frame.tile(0, 0)
    assert frame.cell(0, first) == (0, 0, 0)
    (west,), (north,) = to_lonlat(
        GRID.crs, *(np.array([v]) for v in (frame.pixels.bounds[0], frame.pixels.bounds[3]))
    )
    assert west < 12
    assert north > 80


def test_a_scene_beyond_the_extent_is_refused_by_its_name() -> None:
    frame = Frame.of(GRID)
    with pytest.raises(GridError, match=r"scene S1 lies more than 500 km outside.*EPSG:32633"):
        frame.refuse_beyond("scene S1", [tile(0), Tile(frame.extent.ix1, -3)])


def test_a_frame_is_read_from_the_attributes_it_was_written_to(mosaic: Mosaic) -> None:
    group = zarr.open_group(mosaic.repository.readonly_session(MAIN).store, mode="r")
    assert frame_of(dict(group.attrs)) == Frame.of(GRID)


def test_a_digest_depends_on_the_set_and_the_place_alone() -> None:
    one = tile_digest(GRID, tile(0), ["a", "b"])
    assert one == tile_digest(GRID, tile(0), ["b", "a"])
    others = {tile_digest(GRID, tile(1), ["a", "b"]), tile_digest(GRID, tile(0), ["a"]), one, 0}
    assert len(others) == 4


def test_only_an_empty_tile_has_the_digest_0() -> None:
    assert tile_digest(GRID, tile(0), []) == 0


def test_a_tile_is_written_with_its_digest_products_and_counts(mosaic: Mosaic) -> None:
    store = mosaic.repository.writable_session(MAIN).store
    job = job_of(mosaic, "p1", "p2")
    report = write_tile(store, job, [((0, 1), shard(2.5)), ((1, 0), shard(np.nan, flags=2 | 16))])
    assert read_digests(store, [job.cell]) == [job.digest]
    assert read_products(store, [job.cell]) == [("p1", "p2")]
    assert report_of(read_counts(store, [job.cell])[0]) == report
    assert (report.pixels, report.estimated) == (4 * PX**2, PX**2)
    assert dict(report.by_flag) == {"outside": 2 * PX**2, "cloud": PX**2, "haze": PX**2}


def test_a_shard_that_is_not_written_again_is_gone(mosaic: Mosaic) -> None:
    session = mosaic.repository.writable_session(MAIN)
    job = job_of(mosaic, "p1")
    write_tile(session.store, job, [((0, 0), shard(1.0)), ((0, 1), shard(1.0))])
    session.commit("first")
    session = mosaic.repository.writable_session(MAIN)
    write_tile(session.store, job, [((0, 1), shard(2.0))])
    session.commit("second")
    store = mosaic.repository.readonly_session(MAIN).store
    _, row, column = job.cell
    values = zarr.open_array(store, path="salinity", mode="r")[
        3, row * 2 * PX : (row + 1) * 2 * PX, column * 2 * PX : (column + 1) * 2 * PX
    ]
    assert np.isnan(values[:, :PX]).all()
    assert (values[:PX, PX:] == 2.0).all()


def test_an_emptied_tile_leaves_nothing(mosaic: Mosaic) -> None:
    session = mosaic.repository.writable_session(MAIN)
    write_tile(session.store, job_of(mosaic, "p1"), [((0, 0), shard(1.0))])
    session.commit("first")
    session = mosaic.repository.writable_session(MAIN)
    write_tile(session.store, job_of(mosaic, before=1), ())
    session.commit("second")
    store = mosaic.repository.readonly_session(MAIN).store
    names = [x.name for x in MOSAIC_LAYERS] + ["tile_digest", "tile_counts", "tile_products"]

    async def chunks(name: str) -> list[tuple[int, ...]]:
        return [chunk async for chunk in store.session.chunk_coordinates(f"/{name}")]

    assert [name for name in names if sync(chunks(name))] == []


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ({k: v for k, v in shard(1.0).items() if k != "observations"}, "observations.*missing"),
        ({**shard(1.0), "salinity": np.zeros((PX, PX))}, r"salinity.*float64 \(32, 32\)"),
        ({**shard(1.0), "salinity": np.zeros((4, PX), np.float32)}, r"salinity.*\(4, 32\)"),
    ],
    ids=["missing", "type", "shape"],
)
def test_a_shard_that_does_not_fit_is_refused(
    mosaic: Mosaic, layers: dict[str, NDArray[np.generic]], found: str
) -> None:
    store = mosaic.repository.writable_session(MAIN).store
    with pytest.raises(StoreError, match=found):
        write_tile(store, job_of(mosaic, "p"), [((0, 0), layers)])


def test_unwritten_cells_read_as_the_fill_of_their_layer(mosaic: Mosaic) -> None:
    group = zarr.open_group(mosaic.repository.readonly_session(MAIN).store, mode="r")
    for layer in MOSAIC_LAYERS:
        np.testing.assert_equal(group[layer.name][5, 0, 0], np.dtype(layer.dtype).type(layer.fill))


def test_what_tiles_of_a_world_are_is_read_without_counting_its_chunks() -> None:
    mosaic = create_mosaic(Objects.of(somewhere()), Frame.of(MosaicGrid.from_options("EPSG:6933")))
    store = mosaic.repository.writable_session(MAIN).store
    jobs = [Job(mosaic.frame, 1000, Tile(ix, 3), ("p",), 0) for ix in (-200, 200)]
    for job in jobs:
        write_tile(store, job, ())
    cells = [job.cell for job in jobs]
    tracemalloc.start()
    assert read_products(store, cells) == [("p",), ("p",)]
    assert read_counts(store, cells)[:, 0].tolist() == [2048**2, 2048**2]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


def test_of_no_tiles_there_is_nothing_to_read(mosaic: Mosaic) -> None:
    store = mosaic.repository.readonly_session(MAIN).store
    assert (read_products(store, []), read_digests(store, [])) == ([], [])
    assert read_counts(store, []).shape[0] == 0
