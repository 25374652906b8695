"""STAC in and out; nobody else sees STAC fields.

In come Items and catalogues of others, out come `Acquisition` values; the other way round,
acquisitions, products, mosaics and models become Items. Open first `items/parse.py`.

====================  ================================================================
`items/`              an Item to an `Acquisition` and back
`search/`             which Items of a folder or server match
`local.py`            a catalogue in a folder: written by `ingest`, read by `search`
`publish/`            Items of what deepsalt writes, and the catalogue of a store
`fields.py`           fields of a document of others, with their place in each complaint
`documents.py`        JSON files
`geometry.py`         footprints and areas, also across 180 degrees
`hrefs.py`            where the files of an Item are
`statistics.py`       cloud cover, quality and times
`extents.py`          collections and their extents; `extensions.py`: STAC extensions
====================  ================================================================
"""
