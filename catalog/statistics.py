"""Statistics and times of an Item, read by both parsing and searching."""

from catalog.fields import Fields

UNKNOWN_START = "1970-01-01T00:00:00Z"
UNKNOWN_END = "2099-12-31T00:00:00Z"
"""Interval of an Item of unknown date (`deepsalt:date_unknown`); it covers every possible date."""


def cloud_cover(properties: Fields) -> float | None:
    """Return the cloud cover in percent; a negative number (DLR: -999) means not set."""
    value = properties.number("eo:cloud_cover")
    if value is not None and value > 100:
        raise properties.wrong("eo:cloud_cover", "a percentage")
    return None if value is None or value < 0 else value


def overall_quality(properties: Fields) -> int | None:
    """Return the provider's rating: 0 nominal, 1 reduced, 2 low; None if not given."""
    for name in ("deepsalt:overall_quality", "enmap:overallQuality"):
        value = properties.integer(name)
        if value is not None:
            if value > 2:
                raise properties.wrong(name, "0, 1 or 2")
            return None if value < 0 else value
    return None


def sun_elevation(properties: Fields) -> float | None:
    """Return the sun's elevation at the scene, degrees."""
    for name in ("view:sun_elevation", "enmap:sunElevationAngle"):
        value = properties.number(name)
        if value is not None:
            if abs(value) > 90:
                raise properties.wrong(name, "an angle from -90 to 90 degrees")
            return value
    return None
