"""Bad products get one clear sentence."""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from deepsalt.errors import DeepsaltError, FormatError, GridError, UnsupportedError
from deepsalt.scenes.base import read_acquisition
from tests.made.enmap import SCENE, random_numbers, write_enmap, write_tiff
from tests.made.prisma import NAME, write_prisma


def small(parent: Path, **options: object) -> Path:
    return write_enmap(parent, shape=(32, 32), **options)  # type: ignore[arg-type]


def metadata(folder: Path) -> Path:
    return next(folder.glob("*METADATA.XML"))


def without(layer: str) -> Callable[[Path], Path]:
    def build(parent: Path) -> Path:
        folder = small(parent)
        next(folder.glob(f"*{layer}.*")).unlink()
        return folder

    return build


def with_xml(change: Callable[[str], str]) -> Callable[[Path], Path]:
    def build(parent: Path) -> Path:
        folder = small(parent)
        path = metadata(folder)
        path.write_text(change(path.read_text()))
        return folder

    return build


def truncated_image(parent: Path) -> Path:
    folder = small(parent)
    image = next(folder.glob("*SPECTRAL_IMAGE*"))
    image.write_bytes(image.read_bytes()[: image.stat().st_size * 2 // 3])
    return folder


def headless_image(parent: Path) -> Path:
    folder = small(parent)
    next(folder.glob("*SPECTRAL_IMAGE*")).write_bytes(b"II*\0")
    return folder


def three_bands(parent: Path) -> Path:
    folder = small(parent)
    write_tiff(next(folder.glob("*SPECTRAL_IMAGE*")), random_numbers(3, (32, 32), seed=1))
    return folder


def other_size(layer: str, count: int) -> Callable[[Path], Path]:
    def build(parent: Path) -> Path:
        folder = small(parent)
        write_tiff(next(folder.glob(f"*{layer}*")), np.zeros((count, 30, 32), np.uint8))
        return folder

    return build


def pipe(layer: str) -> Callable[[Path], Path]:
    def build(parent: Path) -> Path:
        folder = small(parent)
        path = next(folder.glob(f"*{layer}.*"))
        path.unlink()
        os.mkfifo(path)
        return folder

    return build


def pipe_prisma(parent: Path) -> Path:
    os.mkfifo(parent / NAME)
    return parent / NAME


def moved(folder: Path, origin: tuple[float, float]) -> Path:
    """Move all rasters of a product elsewhere."""
    for path in folder.glob("*.TIF"):
        with rasterio.open(path, "r+") as raster:
            raster.transform = Affine(30, 0, origin[0], 0, -30, origin[1])
    return folder


def two_products(parent: Path) -> Path:
    folder = small(parent)
    for file in folder.iterdir():
        (folder / file.name.replace("_003_", "_004_")).write_bytes(file.read_bytes())
    return folder


def prisma(**options: object) -> Callable[[Path], Path]:
    def build(parent: Path) -> Path:
        return write_prisma(parent / NAME, shape=(4, 5), **options)  # type: ignore[arg-type]

    return build


def prisma_without_attribute(name: str) -> Callable[[Path], Path]:
    return prisma(attributes={name: None})


def named_prisma(name: str) -> Callable[[Path], Path]:
    def build(parent: Path) -> Path:
        return write_prisma(parent / name, shape=(4, 5))

    return build


def truncated_prisma(parent: Path) -> Path:
    path = write_prisma(parent / NAME, shape=(4, 5))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def desis(parent: Path) -> Path:
    folder = parent / "DESIS-HSI-L2A-DT1234567890_001-20240501T100000-V0220"
    folder.mkdir()
    write_tiff(folder / f"{folder.name}-SPECTRAL_IMAGE.tif", random_numbers(3, (8, 8), seed=1))
    return folder


def desis_file(parent: Path) -> Path:
    return next(desis(parent).iterdir())


def text_file(parent: Path) -> Path:
    (parent / "notes.txt").write_text("nothing")
    return parent / "notes.txt"


def dangling_link(parent: Path) -> Path:
    folder = small(parent)
    path = metadata(folder)
    path.unlink()
    path.symlink_to(parent / "nowhere")
    return folder


# What a delivered file never declares; a parser that obeys fills the memory, reads another file, or
# asks a server.
DECLARED = {
    "billion laughs": (
        '<!DOCTYPE level_X [<!ENTITY e0 "ha">'
        + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
        + "]>",
        "&e9;",
    ),
    "quadratic blowup": (f'<!DOCTYPE level_X [<!ENTITY a "{"a" * 100_000}">]>', "&a;" * 10_000),
    "an entity in another file": (
        '<!DOCTYPE level_X [<!ENTITY other SYSTEM "file:///etc/hostname">]>',
        "&other;",
    ),
    "an entity on a server": (
        '<!DOCTYPE level_X [<!ENTITY other SYSTEM "http://127.0.0.1:9/x">]>',
        "&other;",
    ),
    "a parameter entity": (
        '<!DOCTYPE level_X [<!ENTITY % more SYSTEM "file:///etc/hostname"> %more;]>',
        "",
    ),
    "a document type elsewhere": ('<!DOCTYPE level_X SYSTEM "file:///etc/hostname">', ""),
    "an unparsed entity": (
        '<!DOCTYPE level_X [<!NOTATION n SYSTEM "n"><!ENTITY u SYSTEM "u" NDATA n>]>',
        "",
    ),
}


def declaring(doctype: str, used: str) -> Callable[[Path], Path]:
    return with_xml(
        lambda t: t.replace("<level_X>", f"{doctype}<level_X>", 1).replace(
            "<base>", f"<said>{used}</said><base>", 1
        )
    )


CASES: dict[str, tuple[Callable[[Path], Path], type[DeepsaltError], str]] = {
    "no such path": (lambda p: p / "none", FormatError, "does not exist"),
    "not a product": (text_file, FormatError, "is not a product that deepsalt reads"),
    "empty folder": (lambda p: p, FormatError, "is empty; give a product"),
    **{
        f"no {layer}": (without(layer), FormatError, f"has no file {layer} of scene {SCENE}")
        for layer in ("QL_QUALITY_CLOUD", "QL_PIXELMASK", "METADATA", "SPECTRAL_IMAGE")
    },
    "malformed XML": (with_xml(lambda t: t[:500]), FormatError, "cannot be read as XML"),
    "empty XML": (with_xml(lambda t: ""), FormatError, "cannot be read as XML"),
    **{
        name: (declaring(*xml), FormatError, "declares a document type or entities")
        for name, xml in DECLARED.items()
    },
    "an entity that is not declared": (
        declaring("", "&other;"),
        FormatError,
        "cannot be read as XML: undefined entity",
    ),
    "huge XML": (
        with_xml(lambda t: t + " " * (33 * 2**20)),
        FormatError,
        "is larger than 32 MiB",
    ),
    "dangling link": (dangling_link, FormatError, "No such file or directory"),
    "no band descriptions": (
        with_xml(lambda t: t.replace("bandCharacterisation", "nothing")),
        FormatError,
        "has no bands in specific/bandCharacterisation",
    ),
    "a wavelength that is text": (
        with_xml(lambda t: t.replace(">418.2<", ">NaN<")),
        FormatError,
        r"bandID\[1\]/wavelengthCenterOfBand is 'NaN', expected a number",
    ),
    "a missing width": (
        with_xml(lambda t: t.replace("<FWHMOfBand>6.6675</FWHMOfBand>", "")),
        FormatError,
        r"bandID\[2\]/FWHMOfBand is '', expected a number",
    ),
    "bands numbered twice": (
        with_xml(lambda t: t.replace('bandID number="7"', 'bandID number="8"')),
        FormatError,
        "does not number the 224 elements",
    ),
    "no time": (with_xml(lambda t: t.replace("startTime", "x")), FormatError, "no element"),
    "three corners": (
        with_xml(lambda t: t.replace("lower_left", "nowhere")),
        FormatError,
        "gives 3 of the 4 corners",
    ),
    "size in XML differs": (
        with_xml(lambda t: t.replace("<rows>32<", "<rows>33<")),
        FormatError,
        "has 32 x 32 pixels but its METADATA.XML says 33 x 32",
    ),
    "truncated image": (truncated_image, FormatError, "is truncated: it has"),
    "image without header": (headless_image, FormatError, "cannot be opened as a raster"),
    "wrong band count": (three_bands, FormatError, "has 3 bands but its METADATA.XML describes"),
    "quality layer of another size": (
        other_size("QL_QUALITY_HAZE", 1),
        FormatError,
        "QL_QUALITY_HAZE.TIF has 1 bands of 30 x 32 pixels",
    ),
    "pixel mask with one band": (
        other_size("QL_PIXELMASK", 1),
        FormatError,
        "expected 224 on the grid",
    ),
    "two products in a folder": (two_products, FormatError, "holds files of 2 products"),
    "L1B": (
        lambda p: small(p, scene=SCENE.replace("L2A", "L1B")),
        UnsupportedError,
        "is EnMAP L1B; deepsalt needs surface reflectance",
    ),
    "L1C": (
        lambda p: small(p, scene=SCENE.replace("L2A", "L1C")),
        UnsupportedError,
        "is EnMAP L1C",
    ),
    "L1C under another name": (
        with_xml(lambda t: t.replace(">L2A<", ">L1C<")),
        UnsupportedError,
        "is EnMAP L1C",
    ),
    "night": (lambda p: small(p, sun_elevation=-4.0), UnsupportedError, "is a night pass"),
    "unknown CRS": (lambda p: small(p, crs=None), GridError, "no known coordinate reference"),
    "DESIS folder": (desis, UnsupportedError, "is a DESIS product"),
    "DESIS file": (desis_file, UnsupportedError, "is a DESIS product"),
    "PRISMA L1": (
        named_prisma(NAME.replace("L2D_STD", "L1_STD_OFFL")),
        UnsupportedError,
        "is PRISMA L1;",
    ),
    "PRISMA L2C": (named_prisma(NAME.replace("L2D", "L2C")), UnsupportedError, "is PRISMA L2C"),
    "PRISMA level attribute": (
        prisma(attributes={"Processing_Level": b"2B"}),
        UnsupportedError,
        "is PRISMA 2B",
    ),
    "PRISMA night": (
        prisma(attributes={"Sun_zenith_angle": 95.0}),
        UnsupportedError,
        "is a night pass",
    ),
    "PRISMA truncated": (truncated_prisma, FormatError, "cannot be opened as HDF5"),
    "PRISMA wavelengths out of order": (
        prisma(attributes={"List_Cw_Vnir": np.linspace(402, 973, 66)}),
        FormatError,
        "wavelengths of VNIR do not run down",
    ),
    "PRISMA wavelengths of another count": (
        prisma(attributes={"List_Cw_Swir": np.linspace(2400, 950, 100)}),
        FormatError,
        "lists 100 centres and 173 widths for the 173 bands",
    ),
    "PRISMA corners of another size": (
        prisma(attributes={"Product_LRcorner_easting": 500115.0 + 150.0}),
        FormatError,
        "37.5000 m per pixel",
    ),
    "PRISMA scale upside down": (
        prisma(attributes={"L2ScaleSwirMax": -1.0}),
        FormatError,
        "L2ScaleSwir runs from",
    ),
    "a time before year 1 in UTC": (
        with_xml(lambda t: t.replace("2024-07-06T08:30:00.123456Z", "0001-01-01T00:00:00+23:59")),
        FormatError,
        "startTime is '0001-01-01T00:00:00[+]23:59', not a time",
    ),
    "deep XML": (
        with_xml(lambda t: t.replace("<base>", "<a>" * 100_000 + "</a>" * 100_000 + "<base>", 1)),
        FormatError,
        "nests them more than 100 deep",
    ),
    "XML of millions of elements": (
        with_xml(lambda t: t.replace("<base>", "<a/>" * 400_000 + "<base>", 1)),
        FormatError,
        "has more than 400000 elements",
    ),
    "XML of an unknown encoding": (
        with_xml(lambda t: t.replace("UTF-8", "UTF-9", 1)),
        FormatError,
        "cannot be read as XML: unknown encoding: UTF-9",
    ),
    "a pipe for METADATA.XML": (pipe("METADATA"), FormatError, "a named pipe, not a regular file"),
    "a pipe for the image": (pipe("SPECTRAL_IMAGE"), FormatError, "a named pipe, not a regular"),
    "gain -1e300": (
        with_xml(lambda t: t.replace(">0.0001<", ">-1e300<", 1)),
        FormatError,
        "has gain -1e[+]300 in band band_001; expected a reflectance per digital number",
    ),
    "gain 0": (with_xml(lambda t: t.replace(">0.0001<", ">0<")), FormatError, "has gain 0 in band"),
    "gain of reflectance in millions": (
        with_xml(lambda t: t.replace(">0.0001<", ">100<")),
        FormatError,
        "has gain 100 in band",
    ),
    "offset -1e300": (
        with_xml(lambda t: t.replace("<OffsetOfBand>0<", "<OffsetOfBand>-1e300<")),
        FormatError,
        "has offset -1e[+]300 in band",
    ),
    "a scale that leaves no reflectance": (
        with_xml(
            lambda t: t.replace(">0.0001<", ">1e-9<").replace(
                "<OffsetOfBand>0<", "<OffsetOfBand>5<"
            )
        ),
        FormatError,
        "no int16 gives a reflectance between 0 and 1",
    ),
    "cloud cover of 300 %": (
        with_xml(lambda t: t.replace("<cloudCover>3<", "<cloudCover>300<")),
        FormatError,
        "a cloud cover of 300 %",
    ),
    "cloud cover NaN": (
        with_xml(lambda t: t.replace("<cloudCover>3<", "<cloudCover>NaN<")),
        FormatError,
        "cloudCover is 'NaN', expected a number",
    ),
    "a quality of 1e300": (
        with_xml(lambda t: t.replace("<overallQuality>0<", "<overallQuality>1e300<")),
        FormatError,
        "has overall quality 1e[+]300",
    ),
    "1e300 rows": (
        with_xml(lambda t: t.replace("<rows>32<", "<rows>1e300<")),
        FormatError,
        "dimension is 1e[+]300 x 32; expected 1 to 1000000 pixels",
    ),
    "a corner beyond the pole": (
        with_xml(lambda t: t.replace(">52.42<", ">1e300<")),
        FormatError,
        "has a footprint that is not in longitude and latitude",
    ),
    "an image outside its CRS": (
        lambda p: moved(small(p), (1e300, 5809965.0)),
        GridError,
        "SPECTRAL_IMAGE.TIF lies from .* which is not a place in EPSG:32633",
    ),
    "PRISMA outside its CRS": (
        prisma(
            attributes={
                f"Product_{corner}corner_northing": np.float64(1e12 - 30 * rows)
                for corner, rows in (("UL", 0), ("LR", 3))
            }
        ),
        GridError,
        "which is not a place in EPSG:32632",
    ),
    "PRISMA of an unknown CRS": (
        prisma(attributes={"Epsg_Code": 99999}),
        GridError,
        "has the invalid CRS EPSG:99999",
    ),
    "PRISMA time before year 1 in UTC": (
        prisma(attributes={"Product_StartTime": b"0001-01-01T00:00:00+23:59"}),
        FormatError,
        "attribute Product_StartTime is '0001-01-01T00:00:00[+]23:59', not a time",
    ),
    "PRISMA scale to 1e300": (
        prisma(attributes={"L2ScaleSwirMax": 1e300}),
        FormatError,
        "has gain 1.5.*e[+]295 in band swir",
    ),
    "PRISMA scale from -1e300": (
        prisma(attributes={"L2ScaleSwirMin": -1e300}),
        FormatError,
        "in band swir",
    ),
    "PRISMA cloud cover NaN": (
        prisma(attributes={"Cloudy_pixels_percentage": np.nan}),
        FormatError,
        "Cloudy_pixels_percentage is nan, expected a number",
    ),
    "PRISMA cloud cover infinite": (
        prisma(attributes={"Cloudy_pixels_percentage": np.inf}),
        FormatError,
        "Cloudy_pixels_percentage is inf, expected a number",
    ),
    "a pipe for PRISMA": (pipe_prisma, FormatError, "is not a product that deepsalt reads"),
    **{
        f"PRISMA without {name}": (
            prisma_without_attribute(name),
            FormatError,
            f"has no attribute {name}",
        )
        for name in ("List_Cw_Vnir", "L2ScaleVnirMin", "Epsg_Code", "Product_StartTime")
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_product_is_refused_with_one_sentence(tmp_path: Path, case: str) -> None:
    build, kind, sentence = CASES[case]
    path = build(tmp_path)
    with pytest.raises(kind, match=sentence) as caught:
        read_acquisition(path)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_a_channel_of_6000_digits_is_none_of_the_bands(tmp_path: Path) -> None:
    plain = read_acquisition(small(tmp_path / "plain"))
    path = with_xml(lambda t: t.replace("List>1,", f"List>{'9' * 6000},1,", 1))(tmp_path)
    assert read_acquisition(path).bands == plain.bands


def big_tiff(path: Path, width: int, height: int, *, tile: int = 16, bands: int = 1) -> Path:
    """Write the header of a tiled GeoTIFF without a single block."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height,
        width=width,
        dtype="int16",
        crs="EPSG:32633",
        transform=Affine(30, 0, 366015, 0, -30, 5809965),
        tiled=True,
        blockxsize=tile,
        blockysize=tile,
        bigtiff=True,
        sparse_ok=True,
        interleave="band",
    ):
        pass
    return path


ABSURD = {
    "2**31 pixels a side": (
        lambda path: claiming(big_tiff(path, 64, 64), 2**31 - 1, 2**31 - 1),
        "cannot be opened as a raster|claims 1 bands of 2147483647 x 2147483647 pixels",
    ),
    "terabytes": (
        lambda path: big_tiff(path, 900_000, 900_000, tile=8192, bands=4),
        "claims 4 bands of 900000 x 900000 pixels; no scene has more than",
    ),
    "a tile of gigabytes": (
        lambda path: big_tiff(path, 40_000, 40_000, tile=32_768),
        "has blocks of 32768 x 32768 pixels, 2048 MiB",
    ),
    "millions of blocks side by side": (
        lambda path: big_tiff(path, 900_000, 16, bands=20),
        "has 1125000 blocks of 16 x 16 pixels side by side",
    ),
}


def claiming(path: Path, width: int, height: int) -> Path:
    """Write another size into the header of a BigTIFF."""
    content = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<Q", content, 8)
    (entries,) = struct.unpack_from("<Q", content, directory)
    for at in range(directory + 8, directory + 8 + 20 * entries, 20):
        (tag,) = struct.unpack_from("<H", content, at)
        if tag in {256, 257}:
            struct.pack_into("<HQQ", content, at + 2, 4, 1, width if tag == 256 else height)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", ABSURD)
def test_a_header_that_claims_the_absurd_is_refused_at_once(tmp_path: Path, case: str) -> None:
    build, sentence = ABSURD[case]
    path = build(tmp_path / "image.tif")
    begin = time.perf_counter()
    with pytest.raises(FormatError, match=sentence):
        read_acquisition(path, scale=1e-4)
    assert time.perf_counter() - begin < 5
