"""Derive the small tables of the simulator from public spectral libraries.

Run by developers, never by the package::

    python -m deepsalt.simulate.derive USGS.csv.gz ICRAF.csv.gz EARTHLIB.csv.gz SEVIER.csv OUT

The tables hold parameters, not spectra: knots of a continuum and Gaussian absorptions per mineral
specimen, a low-rank basis of soil spectra per set of profiles, and one of both on the common bands.
Only `surfaces.csv` holds measured spectra, of what the out-of-domain test tells apart.
`edges.csv` is kept in `deepsalt/spectral`, the others here.
"""

import csv
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepsalt.simulate.specimens import (
    KNOTS_NM,
    SOIL_CENTERS_NM,
    SOIL_COMPONENTS,
    Mineral,
    demo_profile,
    mineral_reflectance,
    specimens,
)
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.transform import common_matrix, common_nm
from deepsalt.types import BandTable

USGS = "USGS Spectral Library Version 7 (AVIRIS-1995), doi:10.5066/F7RR1WDJ"
EARTHLIB = "earthlib 1.1.0 (MIT), urban reflectance spectra from Santa Barbara and others"
SEVIER = "EMIT over Sevier Lake, emit-sds/emit-marmit (Apache-2.0)"
ICRAF = "ICRAF-ISRIC Soil VNIR Spectral Library, doi:10.34725/DVN/MFHA9C, CC BY 4.0"

MAX_FEATURES = 16
STOP_RMS = 0.003  # reflectance; near the noise of the library
EDGE_COMPONENTS = 30
SURFACES = {"built": ("built", 5), "bare": ("bare", 12), "burned": ("burnt", 12)}
"""Kind of surface by LEVEL_2 of earthlib, and most spectra of one material at one site."""

SALTS = (
    *("anhydrite", "bassanite", "carnallite", "epsomite", "eugsterite", "gypsum", "halite"),
    *("mirabilite", "niter", "playa", "polyhalite", "thenardite", "trona", "ulexite"),
)
"""Groups of the USGS table that are salts of crusts, besides those named `_MORE_SALTS`."""

_MORE_SALTS = ("Sodium_Bicarbonate", "Sodium_Sulfate", "Syngenite", "Tincalconite")
_MINERALS = {"sodium_bicarbonate": "nahcolite", "sodium_sulfate": "thenardite"}  # of powders
_TEST_SITES = 0.25  # of the sites of built surfaces
SALINE_DS_M = 1.0  # horizons from here on are left out of the soil basis

# (mineral, specimen, use, records): a specimen, in all its grain sizes, is in exactly one use.
SPECIMENS = (
    ("halite", "HS433", "train", ("Halite HS433.1B", "Halite HS433.2B", "Halite HS433.4B")),
    ("gypsum", "HS333", "train", ("Gypsum HS333.1B", "Gypsum HS333.2B", "Gypsum HS333.4B")),
    ("mirabilite", "GDS150", "train", ("Mirabilite GDS150",)),
    ("epsomite", "GDS149", "train", ("Epsomite GDS149",)),
    ("thenardite", "JT1-3989", "train", ("Sodium_Sulfate JT1-3989",)),
    ("thenardite", "HS450", "demo", ("Thenardite HS450.1B", "Thenardite HS450.4B")),
    ("bassanite", "GDS145", "demo", ("Bassanite GDS145",)),
    ("carnallite", "HS430", "demo", ("Carnallite HS430.2B", "Carnallite HS430.4B")),
    ("calcite", "WS272", "train", ("Calcite WS272 BECKa",)),
    ("calcite", "GDS304", "demo", ("Calcite GDS304",)),
    ("kaolinite", "CM9", "train", ("Kaolinite CM9 BECKb",)),
    ("kaolinite", "KGa-1", "train", ("Kaolinite KGa-1 (wxl) BECKb",)),
    ("kaolinite", "KGa-2", "demo", ("Kaolinite KGa-2 (pxl) BECKb",)),
    ("montmorillonite", "SWy-1", "train", ("Montmorillonite SWy-1 BECKb",)),
    ("montmorillonite", "CM20", "train", ("Montmorillonite CM20",)),
    ("montmorillonite", "SAz-1", "demo", ("Montmorillonite SAz-1 BECKb",)),
    ("illite", "GDS4", "train", ("Illite GDS4 Marblehead BECKb",)),
    ("illite", "IMt-1", "demo", ("Illite IMt-1.a BECKb",)),
    ("hematite", "GDS69", "train", ("Hematite GDS69.e", "Hematite GDS69.g")),
    ("hematite", "HS45.3", "demo", ("Hematite HS45.3 BECKb",)),
    ("goethite", "GDS134", "train", ("Goethite GDS134",)),
    ("goethite", "WS222", "demo", ("Goethite WS222 Medium",)),
    ("quartz", "GDS74", "train", ("Quartz GDS74",)),
    ("quartz", "HS32", "demo", ("Quartz HS32.4B",)),
)

# Most salts have one specimen in the library. The use that does not have it gets one drawn from
# the literature: band positions of Crowley (1991, J. Geophys. Res. 96, 16231), depths in absorbance
# and widths typical of a fine efflorescence, not fitted to anything.
_BRIGHT = (0.72, 0.76, 0.79, 0.81, 0.83, 0.845, 0.85, 0.855, 0.85, 0.84, 0.82, 0.80, 0.78, 0.76)
LITERATURE = (
    Mineral(
        "halite",
        "Crowley1991-halite",
        "efflorescence with fluid inclusions",
        "demo",
        _BRIGHT,
        ((1440.0, 0.05, 40.0), (1940.0, 0.09, 45.0)),
    ),
    Mineral(
        "gypsum",
        "Crowley1991-gypsum",
        "efflorescence",
        "demo",
        tuple(0.98 * level for level in _BRIGHT),
        (
            (994.0, 0.03, 25.0),
            (1200.0, 0.10, 35.0),
            (1449.0, 0.55, 22.0),
            (1490.0, 0.38, 16.0),
            (1535.0, 0.25, 22.0),
            (1749.0, 0.20, 22.0),
            (1944.0, 0.95, 32.0),
            (1970.0, 0.25, 25.0),
            (2178.0, 0.16, 25.0),
            (2217.0, 0.26, 20.0),
            (2266.0, 0.20, 22.0),
            (2430.0, 0.55, 70.0),
        ),
    ),
    Mineral(
        "carnallite",
        "Crowley1991-carnallite",
        "efflorescence",
        "train",
        tuple(0.97 * level for level in _BRIGHT),
        (
            (985.0, 0.06, 25.0),
            (1190.0, 0.22, 40.0),
            (1445.0, 0.90, 40.0),
            (1520.0, 0.45, 50.0),
            (1750.0, 0.35, 35.0),
            (1975.0, 1.30, 55.0),
            (2245.0, 0.55, 55.0),
            (2480.0, 0.90, 90.0),
        ),
    ),
    Mineral(
        "bassanite",
        "Crowley1991-bassanite",
        "efflorescence",
        "train",
        _BRIGHT,
        (
            (1430.0, 0.40, 18.0),
            (1475.0, 0.15, 25.0),
            (1773.0, 0.15, 22.0),
            (1926.0, 0.75, 28.0),
            (1950.0, 0.25, 30.0),
            (2107.0, 0.08, 25.0),
            (2217.0, 0.12, 22.0),
            (2267.0, 0.12, 22.0),
            (2480.0, 0.40, 60.0),
        ),
    ),
)


def derive_minerals(usgs: Path, out: Path) -> None:
    """Fit every specimen of `SPECIMENS` and write `minerals.csv`.

    Parameters
    ----------
    usgs
        Table with a column `name` and one column ``r<nm>`` per channel (reflectance).
    out
        Folder to write to.
    """
    table = pd.read_csv(usgs)
    channels = [name for name in table.columns if name[:1] == "r" and name[1:2].isdigit()]
    wavelength = np.array([float(name[1:]) for name in channels])
    with (out / "minerals.csv").open("w", newline="") as file:
        file.write("# Continuum at knots (reflectance) and absorptions centre:depth:width\n")
        file.write(f"# (nm, absorbance, nm), fitted to specimens of {USGS};\n")
        file.write("# rows of source Crowley1991 are from the literature.\n")
        writer = csv.writer(file)
        knots = [f"k{knot:.0f}" for knot in KNOTS_NM]
        writer.writerow(["mineral", "specimen", "record", "use", "rms", *knots, "absorptions"])
        for mineral, specimen, use, records in SPECIMENS:
            for record in records:
                row = table[table.name.str.startswith(record)].iloc[0]
                spectrum = row[channels].to_numpy(dtype=np.float64)
                good = (spectrum > 0) & np.isfinite(spectrum) & (wavelength < 2505.0)
                fitted, rms = _fit(wavelength[good], spectrum[good])
                named = Mineral(mineral, specimen, row["name"], use, fitted[0], fitted[1])
                writer.writerow(_mineral_row(named, f"{rms:.4f}"))
        for nominal in LITERATURE:
            writer.writerow(_mineral_row(nominal, ""))


def _mineral_row(mineral: Mineral, rms: str) -> list[str]:
    absorptions = ";".join(f"{c:.1f}:{d:.4f}:{w:.1f}" for c, d, w in mineral.absorptions)
    knots = [f"{level:.4f}" for level in mineral.knots]
    return [
        mineral.mineral,
        mineral.specimen,
        mineral.record,
        mineral.use,
        rms,
        *knots,
        absorptions,
    ]


def _fit(
    wavelength: NDArray[np.float64], spectrum: NDArray[np.float64]
) -> tuple[tuple[tuple[float, ...], tuple[tuple[float, float, float], ...]], float]:
    """Add absorptions where the fit is worst until it is as good as the library."""
    from scipy.optimize import least_squares

    n = len(KNOTS_NM)
    hull = [np.quantile(spectrum[np.abs(wavelength - k) < 60], 0.9) for k in KNOTS_NM]
    found = np.array(hull)
    centers = np.empty(0)
    low = np.full(n, 0.005)
    high = np.full(n, 1.2)
    for _ in range(MAX_FEATURES + 1):
        residual = _model(found, wavelength, n) - spectrum
        if centers.size:
            fitted = least_squares(
                lambda p: _model(p, wavelength, n) - spectrum,
                np.clip(found, low + 1e-6, high - 1e-6),
                bounds=(low, high),
                max_nfev=60,
            )
            found = fitted.x
            residual = fitted.fun
        if np.sqrt(np.mean(residual**2)) < STOP_RMS or centers.size == MAX_FEATURES:
            break
        worst = wavelength[np.argmax(residual)]
        centers = np.append(centers, worst)
        found = np.concatenate([found, [worst, 0.05, 25.0]])
        low = np.concatenate([low, [worst - 60.0, 0.0, 8.0]])
        high = np.concatenate([high, [worst + 60.0, 3.0, 160.0]])
    features = tuple((float(c), float(d), float(w)) for c, d, w in found[n:].reshape(-1, 3))
    return (tuple(found[:n].tolist()), features), float(np.sqrt(np.mean(residual**2)))


def _model(
    parameters: NDArray[np.float64], wavelength: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    absorptions = tuple((c, d, w) for c, d, w in parameters[n:].reshape(-1, 3))
    mineral = Mineral("", "", "", "train", tuple(parameters[:n]), absorptions)
    return mineral_reflectance(mineral, wavelength)


def derive_soils(icraf: Path, out: Path) -> None:
    """Write `soils.csv`: mean, principal components and scores of log reflectance, per use.

    Parameters
    ----------
    icraf
        Table with `profile_id`, `ec_ds_m`, `ec_suspect` and ``r<nm>`` columns (reflectance).
    out
        Folder to write to.
    """
    table = pd.read_csv(icraf)
    table = table[(table.ec_ds_m < SALINE_DS_M) & ~table.ec_suspect.astype(bool)]
    channels = [f"r{center:.0f}" for center in SOIL_CENTERS_NM]
    spectra = np.log(table[channels].to_numpy(dtype=np.float64).clip(0.01, 1.0))
    for_demo = table.profile_id.map(demo_profile).to_numpy(dtype=bool)
    with (out / "soils.csv").open("w", newline="") as file:
        file.write("# Low-rank basis of log reflectance of dry, sieved, non-saline soils, with\n")
        file.write(
            "# standard deviation and 1 and 99 % quantiles of the scores, from profiles that\n"
        )
        file.write(f"# are in one use only. Source: {ICRAF}.\n")
        writer = csv.writer(file)
        writer.writerow(["use", "component", "sd", "low", "high", *channels])
        for use, rows in (("train", ~for_demo), ("demo", for_demo)):
            mean = spectra[rows].mean(axis=0)
            _, _, components = np.linalg.svd(spectra[rows] - mean, full_matrices=False)
            writer.writerow([use, "mean", "", "", "", *(f"{v:.4f}" for v in mean)])
            for i, component in enumerate(components[:SOIL_COMPONENTS], start=1):
                # A stable sign, so that deriving again gives the same file.
                component = component * np.sign(component[np.argmax(np.abs(component))])
                scores = (spectra[rows] - mean) @ component
                spread = [scores.std(), *np.quantile(scores, (0.01, 0.99))]
                shape = (f"{v:.5f}" for v in component)
                writer.writerow([use, f"pc{i:02d}", *(f"{v:.4f}" for v in spread), *shape])


def derive_edges(icraf: Path, out: Path) -> None:
    """Write `edges.csv`: principal components of common-band spectra of soils and pure minerals.

    Parameters
    ----------
    icraf
        Table with `ec_suspect` and ``r<nm>`` columns (reflectance).
    out
        Folder to write to.
    """
    table = pd.read_csv(icraf)
    channels = [name for name in table.columns if name[:1] == "r" and name[1:].isdigit()]
    centers = np.array([float(name[1:]) for name in channels])
    common = common_nm()
    soils = table[channels].to_numpy(dtype=np.float64)
    spectra = [np.interp(common, centers, soil) for soil in soils]
    pure = [mineral_reflectance(mineral, common) for mineral in specimens("train")]
    # Few specimens stand for what a crust may be: together they weigh a tenth of the soils.
    shares = np.repeat([1.0 / len(spectra), 0.1 / len(pure)], [len(spectra), len(pure)])
    values = np.array([*spectra, *pure])
    values -= values.mean(axis=1, keepdims=True)
    values /= values.std(axis=1, keepdims=True)
    _, sizes, components = np.linalg.svd(values * np.sqrt(shares)[:, None], full_matrices=False)
    kept = components[:EDGE_COMPONENTS] * sizes[:EDGE_COMPONENTS, None]
    kept *= np.sign(components[np.arange(EDGE_COMPONENTS), np.abs(kept).argmax(axis=1)])[:, None]
    with (out / "edges.csv").open("w", newline="") as file:
        file.write(
            "# Principal components, by their standard deviation, of centred spectra of unit\n"
        )
        file.write(f"# variance on the common bands. Sources: {ICRAF};\n")
        file.write(f"# {USGS}.\n")
        writer = csv.writer(file)
        writer.writerow(["center_nm", *(f"pc{i:02d}" for i in range(1, EDGE_COMPONENTS + 1))])
        for center, loadings in zip(common, kept.T, strict=True):
            writer.writerow([f"{center:.0f}", *(f"{value:.6f}" for value in loadings)])


def is_test_site(site: str) -> bool:
    """Return whether built surfaces of a collection site are for tests only: a hash decides."""
    return int.from_bytes(hashlib.sha256(site.encode()).digest()[:4], "big") < _TEST_SITES * 2**32


def collection_sites(table: pd.DataFrame) -> pd.Series:
    """Return a name for each row's site, LAT and LON to 0.01 degree; signs of some are lost."""
    places = zip(table.LAT, table.LON, strict=True)
    return pd.Series([f"{lat:.2f} {abs(lon):.2f}" for lat, lon in places], index=table.index)


def derive_surfaces(usgs: Path, earthlib: Path, sevier: Path, out: Path) -> None:
    """Write `surfaces.csv`: built surfaces, bare and burnt ground, salts, pixels of a wet playa.

    Parameters
    ----------
    usgs
        Table with `name`, `group` and ``r<nm>`` columns (reflectance).
    earthlib
        Table with `LEVEL_2`, `LEVEL_3`, `LAT`, `LON` and ``r<nm>`` columns (reflectance).
    sevier
        Table of EMIT pixels with columns ``meas_<nm>nm`` (reflectance).
    out
        Folder to write to.
    """
    channels = [f"r{center:.0f}" for center in SOIL_CENTERS_NM]
    other = pd.read_csv(earthlib)
    other = other[other.LEVEL_2.isin(SURFACES)].assign(site=collection_sites)
    other = other[(other.LEVEL_2 != "built") | ~other.site.map(is_test_site)]
    rows = []
    for (level, site, material), part in other.groupby(["LEVEL_2", "site", "LEVEL_3"]):
        kind, most = SURFACES[str(level)]
        # Spread over the part: neighbouring rows are looks at one object.
        chosen = np.unique(np.linspace(0, len(part) - 1, most).round().astype(int))
        rows += [[kind, site, material, *row] for row in part[channels].to_numpy()[chosen]]
    table = pd.read_csv(usgs)
    salts = table[table.group.isin(SALTS) | table.name.str.startswith(_MORE_SALTS)]
    names = [name for name in salts.columns if name[:1] == "r" and name[1:2].isdigit()]
    at = np.array([float(name[1:]) for name in names])
    order = np.argsort(at, kind="stable")
    for name, spectrum in zip(salts.name, salts[names].to_numpy(dtype=np.float64), strict=True):
        known = order[np.isfinite(spectrum[order])]
        reflectance = np.interp(SOIL_CENTERS_NM, at[known], spectrum[known])
        mineral = name.split()[0].lower()
        rows.append(["salt", _MINERALS.get(mineral, mineral), name, *reflectance])
    rows += [["playa", "Sevier Lake", "pixel", *pixel] for pixel in _pixels(pd.read_csv(sevier))]
    with (out / "surfaces.csv").open("w", newline="") as file:
        file.write("# Reflectance x 10,000 of surfaces by kind and collection site; of salts by\n")
        file.write(f"# mineral. Sources: {EARTHLIB};\n")
        file.write(f"# salts: {USGS}; playa: {SEVIER}.\n")
        writer = csv.writer(file)
        writer.writerow(["kind", "site", "material", *channels])
        for kind, site, material, *values in rows:
            writer.writerow([kind, site, material, *(f"{1e4 * value:.0f}" for value in values)])


def _pixels(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return EMIT pixels at `SOIL_CENTERS_NM` (s, 180), what EMIT leaves out inferred."""
    names = [name for name in table.columns if name.startswith("meas_")]
    at = np.array([float(name[5:-2]) for name in names])
    emit = sensor_bands("emit")
    bands = BandTable(
        tuple(names),
        tuple(at.tolist()),
        tuple(np.interp(at, emit.centers_nm, emit.fwhm_nm).tolist()),
        (True,) * len(names),
    )
    common = table[names].to_numpy(dtype=np.float64) @ common_matrix(bands).T
    known = common_nm()
    # Held beyond a window's ends: a line to the next window would be an edge that nobody measured.
    nearest = np.abs(SOIL_CENTERS_NM[:, None] - known).argmin(axis=1)
    return np.asarray(common[:, nearest], dtype=np.float64)


def main(arguments: Sequence[str]) -> int:
    """Derive the tables; arguments are the four sources and the folder to write to."""
    usgs, icraf, earthlib, sevier, out = (Path(argument) for argument in arguments)
    derive_surfaces(usgs, earthlib, sevier, out)
    derive_minerals(usgs, out)
    derive_soils(icraf, out)
    derive_edges(icraf, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
