"""Conventions of EnMAP Items in DLR's catalogue.

The identity comes from the product name, which a product on disk carries, too: a scene ingested
from a folder and the same scene found in the catalogue have equal keys.
"""

import re

from catalog.fields import Fields
from deepsalt.errors import FormatError

COLLECTION = "enmap-l2a"
"""Our collection id for EnMAP L2A, whatever the provider's."""

BANDS = 224
"""Bands of an L2A product: 91 VNIR and 133 SWIR, merged and sorted by wavelength."""

DTYPE = "int16"
"""Stored type of SPECTRAL_IMAGE; Items do not state it."""

USUALLY_EMPTY_NM = (1327.0, 1394.0)
"""Centres of the bands that are usually empty in L2A (1-based 130 to 135: 1331 to 1391 nm).

Items do not say which bands are empty; only METADATA.XML (band statistics) does.
"""

_OVERLAP_NM = (890.0, 1000.0)  # both detectors measure 902 to 993 nm
_NAME = re.compile(
    r"ENMAP\d\d-_{4}(?P<level>\w{3})-DT(?P<datatake>\d{10})_\d{8}T\d{6}Z_(?P<tile>\d{3})"
    r"_V(?P<version>\d{6})_\d{8}T\d{6}Z",
    re.IGNORECASE,
)


def is_enmap(item_id: str, collection: str, properties: Fields) -> bool:
    """Return whether an Item is an EnMAP product."""
    names = (item_id, collection, properties.values.get("platform"))
    return any("enmap" in str(name).lower() for name in names)


def identity(item_id: str, properties: Fields) -> tuple[str, str]:
    """Return acquisition id and version of an Item.

    The acquisition id is ``DT<datatake, 10 digits>_<tile, 3 digits>``, which reprocessing keeps;
    the version is that of the processor, such as ``01.05.02``.

    Raises
    ------
    FormatError
        The Item's id is not a product name.
    """
    match = _NAME.fullmatch(item_id)
    if match is None:
        raise FormatError(
            f"{properties.where} is an EnMAP Item, but its id is not an EnMAP product name; "
            f"expected ENMAP01-____L2A-DT<datatake>_<start>Z_<tile>_V<version>_<processed>Z"
        )
    version = match["version"]
    return (
        f"DT{match['datatake']}_{match['tile']}",
        f"{version[:2]}.{version[2:4]}.{version[4:]}",
    )


def band_names() -> tuple[str, ...]:
    """Return the band names of a product on disk, ``band_001`` ...; Items only number bands."""
    return tuple(f"band_{number:03d}" for number in range(1, BANDS + 1))


def usable(centers_nm: tuple[float, ...], fwhm_nm: tuple[float, ...]) -> tuple[bool, ...]:
    """Return which bands to use, from their wavelengths alone.

    Unused are the usually empty bands, and VNIR bands at and above the first SWIR wavelength: the
    two detectors overlap and one of them is enough. A band's width tells its detector in the
    overlap: FWHM changes smoothly along each detector and jumps by 0.4 nm or more between them.
    Positions do not work, since calibration drift swaps neighbours.
    """
    vnir = _vnir_in_overlap(centers_nm, fwhm_nm)
    low, high = USUALLY_EMPTY_NM
    return tuple(
        index not in vnir and not low <= center <= high for index, center in enumerate(centers_nm)
    )


def _vnir_in_overlap(centers_nm: tuple[float, ...], fwhm_nm: tuple[float, ...]) -> set[int]:
    overlap = sorted(
        (center, index)
        for index, center in enumerate(centers_nm)
        if _OVERLAP_NM[0] <= center <= _OVERLAP_NM[1]
    )
    if not overlap:
        return set()
    vnir_width = fwhm_nm[overlap[0][1]]  # the band at 895 nm is VNIR
    swir_width: float | None = None
    found: set[int] = set()
    for _, index in overlap:
        width = fwhm_nm[index]
        if swir_width is None and width > vnir_width - 0.3:
            vnir_width = width  # still below the first SWIR band
            continue
        if swir_width is not None and abs(width - vnir_width) < abs(width - swir_width):
            vnir_width = width
            found.add(index)
        else:
            swir_width = width
    return found
