"""A product is read from its own files: nothing in it leads to other files or to servers."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio

from deepsalt.errors import DeepsaltError, FormatError, ReadError
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.scenes.gdal import FOLLOWERS, forget_followers
from deepsalt.scenes.geotiff import open_raster
from deepsalt.scenes.prisma.file import heaps_fit
from deepsalt.types import Asset
from tests.made.enmap import write_enmap
from tests.made.generic import CENTERS, cube, envi
from tests.made.prisma import NAME, SWATH, write_prisma


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """Serve on the loopback; yield the address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def vrt(source: str) -> str:
    """Return a VRT with the bands of `source`, which is 20 x 24 pixels."""
    bands = "".join(
        f'<VRTRasterBand dataType="Float32" band="{i}"><Metadata><MDI key="wavelength">{c}</MDI>'
        '<MDI key="fwhm">9</MDI></Metadata><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename><SourceBand>{i}</SourceBand>"
        "</SimpleSource></VRTRasterBand>"
        for i, c in enumerate(CENTERS, start=1)
    )
    return (
        '<VRTDataset rasterXSize="24" rasterYSize="20"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>366015, 30, 0, 5809965, 0, -30</GeoTransform>{bands}</VRTDataset>"
    )


def gti(source: str) -> str:
    return f"<GDALTileIndexDataset><IndexDataset>{source}</IndexDataset></GDALTileIndexDataset>"


def wms(source: str) -> str:
    return (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{source}/${{z}}/${{x}}</ServerUrl></Service>'
        "<DataWindow><SizeX>24</SizeX><SizeY>20</SizeY></DataWindow></GDAL_WMS>"
    )


def mrf(source: str) -> str:
    return (
        f"<MRF_META><CachedSource><Source>{source}</Source></CachedSource><Raster>"
        '<Size x="24" y="20" c="5"/></Raster></MRF_META>'
    )


@pytest.mark.parametrize("disguise", [vrt, gti, wms, mrf], ids=lambda d: d.__name__)
@pytest.mark.parametrize("envi_too", [False, True], ids=["GeoTIFF", "or ENVI"])
def test_a_tif_that_is_references_inside_is_refused(
    tmp_path: Path, disguise: Callable[[str], str], envi_too: bool
) -> None:
    secret = cube(tmp_path / "secret.tif")
    (tmp_path / "image.tif").write_text(disguise(str(secret)))
    with pytest.raises(ReadError, match=r"image\.tif' not recognized as being in a supported"):
        open_raster(str(tmp_path / "image.tif"), envi=envi_too)


def test_a_tif_that_is_a_vrt_inside_asks_no_server(tmp_path: Path) -> None:
    with listening() as (address, asked):
        (tmp_path / "image.tif").write_text(vrt(f"/vsicurl/{address}/secret.tif"))
        with pytest.raises(FormatError, match="cannot be opened as a raster"):
            read_acquisition(tmp_path / "image.tif", scale=1e-4)
    assert not asked


def test_an_ingested_cube_that_became_a_vrt_is_not_read(tmp_path: Path) -> None:
    secret = cube(tmp_path / "secret.tif")
    scene = read_acquisition(cube(tmp_path / "image.tif"), scale=1e-4)
    (tmp_path / "image.tif").write_text(vrt(str(secret)))
    with pytest.raises(ReadError, match="cannot be opened as a raster"):
        open_reader(scene)


def test_an_enmap_layer_that_became_a_vrt_is_not_read(tmp_path: Path) -> None:
    scene = read_acquisition(write_enmap(tmp_path, shape=(20, 24), block=16))
    image = Path(scene.asset("image").href)
    shutil.copy(image, tmp_path / "secret.tif")
    image.write_text(vrt(str(tmp_path / "secret.tif")))
    with pytest.raises(ReadError, match="cannot be opened as a raster"):
        open_reader(scene)


def test_xml_in_the_place_of_a_path_is_not_opened(tmp_path: Path) -> None:
    secret = cube(tmp_path / "secret.tif")
    scene = read_acquisition(cube(tmp_path / "image.tif"), scale=1e-4)
    with pytest.raises(ReadError, match="cannot be opened as a raster"):
        open_reader(replace(scene, assets=(Asset("image", vrt(str(secret))),)))


BESIDE = (".aux.xml", ".ovr", ".msk")


@pytest.mark.parametrize("ending", BESIDE)
def test_what_lies_beside_a_geotiff_is_not_opened(tmp_path: Path, ending: str) -> None:
    path = cube(tmp_path / "image.tif")
    os.mkfifo(tmp_path / f"image.tif{ending}")  # whoever opens it waits for ever
    scene = read_acquisition(path, scale=1e-4)
    reader = open_reader(scene)
    assert reader.read_window(0, 0, 20, 24).shape == (5, 20, 24)
    reader.close()


@pytest.mark.parametrize("ending", [".img.ovr", ".img.msk", ".ovr", ".msk", ".sta", ".img.hdr"])
def test_a_pipe_beside_an_envi_cube_is_refused(tmp_path: Path, ending: str) -> None:
    path = envi(tmp_path / "image.img")
    beside = tmp_path / f"image{ending}"
    beside.unlink(missing_ok=True)
    os.mkfifo(beside)
    with pytest.raises(DeepsaltError, match="not a regular file"):
        read_acquisition(path, scale=1e-4)


def test_an_aux_file_does_not_change_what_an_envi_cube_says(tmp_path: Path) -> None:
    path = envi(tmp_path / "image.img")
    plain = read_acquisition(path, scale=1e-4)
    (tmp_path / "image.img.aux.xml").write_text(
        '<PAMDataset><SRS>EPSG:32601</SRS><PAMRasterBand band="1"><NoDataValue>5</NoDataValue>'
        "</PAMRasterBand></PAMDataset>"
    )
    assert read_acquisition(path, scale=1e-4) == plain


def test_an_overview_named_in_the_tags_of_a_geotiff_is_not_opened(tmp_path: Path) -> None:
    path = cube(tmp_path / "image.tif")
    os.mkfifo(tmp_path / "overview.tif")
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tmp_path / "overview.tif"))
    reader = open_reader(read_acquisition(path, scale=1e-4))
    assert reader.read_window(0, 0, 20, 24).shape == (5, 20, 24)
    reader.close()


def drivers() -> set[str]:
    with rasterio.Env() as env:
        return set(env.drivers())


def test_gdal_has_no_format_left_that_refers_elsewhere() -> None:
    forget_followers()
    assert not drivers() & set(FOLLOWERS)
    assert {"GTiff", "ENVI", "MEM"} <= drivers()


def in_process(code: str) -> str:
    """Run code in a process of its own, as GDAL is started once per process."""
    clean = {name: value for name, value in os.environ.items() if name != "GDAL_SKIP"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean
    )
    return run.stdout.strip()


_START = """import rasterio, threading
from deepsalt.scenes.gdal import forget_followers, FOLLOWERS
def drivers():
    with rasterio.Env() as env:
        return set(env.drivers())
"""
_SAY = "print(sorted(drivers() & set(FOLLOWERS)))"
ORDERS = {
    "GDAL not started yet": f"forget_followers()\n{_SAY}",
    "GDAL in use already": f"assert 'VRT' in drivers()\nforget_followers()\n{_SAY}",
    "inside settings of somebody else": (
        f"with rasterio.Env(GDAL_CACHEMAX=8):\n    forget_followers()\n    {_SAY}"
    ),
    "in another thread": (
        f"t = threading.Thread(target=forget_followers)\nt.start()\nt.join()\n{_SAY}"
    ),
    "seen from a new thread": (
        f"forget_followers()\nt = threading.Thread(target=lambda: {_SAY})\nt.start()\nt.join()"
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_formats_are_gone_whoever_started_gdal(order: str) -> None:
    assert in_process(_START + ORDERS[order]) == "[]"


def test_a_setting_of_the_user_stays() -> None:
    code = "import os\nos.environ['GDAL_SKIP'] = 'JPEG PNG'\n" + _START
    said = in_process(f"{code}forget_followers()\nprint(drivers() & {{'JPEG', 'PNG', 'VRT'}})")
    assert said == "set()"


@pytest.mark.slow
def test_workers_lose_the_formats_when_they_open_their_first_raster(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    path = str(cube(tmp_path / "image.tif"))

    def left() -> list[str]:
        assert "VRT" not in os.environ.get("GDAL_SKIP", "")  # nothing inherited
        with rasterio.Env() as env:
            assert "VRT" in env.drivers()
        open_raster(path).close()
        with rasterio.Env() as env:
            return sorted(set(FOLLOWERS) & set(env.drivers()))

    inherited = os.environ.pop("GDAL_SKIP", None)
    try:
        with (
            LocalCluster(
                n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster) as client,
        ):
            assert client.submit(left).result(timeout=30) == []
    finally:
        if inherited is not None:
            os.environ["GDAL_SKIP"] = inherited


DATASET = f"{SWATH}/Data Fields/VNIR_Cube"


def secret_in(folder: Path) -> Path:
    """Write a PRISMA file of the same shape that a hostile one would like to show."""
    folder.mkdir()
    return write_prisma(folder / NAME, shape=(4, 5))


def external_link(file: h5py.File, secret: Path) -> None:
    del file[DATASET]
    file[DATASET] = h5py.ExternalLink(str(secret), DATASET)


def external_group(file: h5py.File, secret: Path) -> None:
    del file["HDFEOS"]
    file["HDFEOS"] = h5py.ExternalLink(str(secret), "HDFEOS")


def link_over_a_link(file: h5py.File, secret: Path) -> None:
    file["other"] = h5py.ExternalLink(str(secret), "/")
    del file[DATASET]
    file[DATASET] = h5py.SoftLink(f"/other/{DATASET}")


def loop(file: h5py.File, _: Path) -> None:
    del file[DATASET]
    file[DATASET] = h5py.SoftLink("/round")
    file["round"] = h5py.SoftLink(f"/{DATASET}")


def loop_of_groups(file: h5py.File, _: Path) -> None:
    del file["HDFEOS"]
    file["HDFEOS"] = h5py.SoftLink("/HDFEOS")


def external_storage(file: h5py.File, secret: Path) -> None:
    del file[DATASET]
    file.create_dataset(DATASET, (4, 66, 5), "u2", external=[(str(secret), 0, 4 * 66 * 5 * 2)])


def virtual(file: h5py.File, secret: Path) -> None:
    del file[DATASET]
    layout = h5py.VirtualLayout((4, 66, 5), "u2")
    layout[:] = h5py.VirtualSource(str(secret), DATASET, (4, 66, 5))
    file.create_virtual_dataset(DATASET, layout)


def foreign_filter(file: h5py.File, _: Path) -> None:
    del file[DATASET]
    file.create_dataset(DATASET, data=np.ones((4, 66, 5), "u2"), chunks=True, compression="lzf")


def huge_chunk(file: h5py.File, _: Path) -> None:
    del file[DATASET]
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((2**20, 66, 24))
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_INCR)
    space = h5py.h5s.create_simple((4, 66, 5), (h5py.h5s.UNLIMITED,) * 3)
    group = file[os.path.dirname(DATASET)].id
    h5py.h5d.create(group, b"VNIR_Cube", h5py.h5t.NATIVE_UINT16, space, made)


def texts(file: h5py.File, _: Path) -> None:
    del file[DATASET]
    file[DATASET] = np.full((4, 66, 5), "text", h5py.string_dtype())


def reference(file: h5py.File, _: Path) -> None:
    file.attrs["Product_StartTime"] = file.ref


WAYS_OUT: dict[str, tuple[Callable[[h5py.File, Path], None], str]] = {
    "external link": (external_link, "VNIR_Cube is an external link"),
    "external group": (external_group, "/HDFEOS is an external link"),
    "link over a link": (link_over_a_link, "is an external link"),
    "soft links in a circle": (loop, "is an external link"),
    "a group that is its own link": (loop_of_groups, "/HDFEOS is an external link"),
    "external storage": (external_storage, "has its values in other files"),
    "virtual dataset": (virtual, "has its values in other files"),
    "a filter that is a plugin": (foreign_filter, "needs filter 32000"),
    "a chunk of gigabytes": (huge_chunk, "has chunks of 3168 MiB"),
    "a cube of texts": (texts, "expected numbers"),
    "a reference as time": (reference, "Product_StartTime is neither number nor text"),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_no_way_leads_out_of_a_prisma_file(tmp_path: Path, way: str) -> None:
    secret = secret_in(tmp_path / "secret")
    path = write_prisma(tmp_path / NAME, shape=(4, 5))
    change, sentence = WAYS_OUT[way]
    with h5py.File(path, "r+") as file:
        change(file, secret)
    with pytest.raises(FormatError, match=sentence) as caught:
        read_acquisition(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["Data Fields/SWIR_PIXEL_L2_ERR_MATRIX", "Geometric Fields/Solar_Zenith_Angle"]
)
def test_a_reader_follows_no_link_out_of_a_prisma_file(tmp_path: Path, name: str) -> None:
    secret = secret_in(tmp_path / "secret")
    path = write_prisma(tmp_path / NAME, shape=(4, 5))
    scene = read_acquisition(path)
    with h5py.File(path, "r+") as file:
        del file[f"{SWATH}/{name}"]
        file[f"{SWATH}/{name}"] = h5py.ExternalLink(str(secret), f"{SWATH}/{name}")
    reader = open_reader(scene)
    with pytest.raises(ReadError, match="is an external link"):
        (reader.read_window(0, 0, 4, 5), reader.read_quality(0, 0, 4, 5))
    reader.close()


def test_hdf5_has_no_folder_left_to_load_filters_from() -> None:
    assert h5py.h5pl.size() == 0


def test_a_heap_on_which_hdf5_never_comes_back_is_refused(tmp_path: Path) -> None:
    path = write_prisma(tmp_path / NAME, shape=(4, 5))
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + 16
    content[first + 8 : first + 16] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(FormatError, match="damaged heap of texts"):
        read_acquisition(path)


def test_the_heaps_of_a_sound_file_are_sound(tmp_path: Path) -> None:
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w") as file:
        for number in range(300):
            file.attrs[f"a{number}"] = "text" * number
    assert b"GCOL" in path.read_bytes()
    assert heaps_fit(path.read_bytes())


def test_an_endless_object_is_found_in_a_file_of_any_length() -> None:
    heap = b"GCOL\x01\0\0\0" + (4096).to_bytes(8, "little") + bytes(4080)
    assert not heaps_fit(heap)
    assert heaps_fit(b"GCOL\x01")
