"""STAC in and out; no other package sees STAC fields.

Turns foreign Items and catalogues into `Acquisition` values, and acquisitions, products, mosaics
and models into Items. Open `items/parse.py` first.

====================  ================================================================
`items/`              an Item to an `Acquisition` and back
`search/`             which Items of a folder or server match
`local.py`            a catalogue in a folder: written by `ingest`, read by `search`
`publish/`            Items of what deepsalt writes, and the catalogue of a store
`fields.py`           fields of a foreign document, with their place in each error
`documents.py`        JSON files
`geometry.py`         footprints and areas, also across 180 degrees
`hrefs.py`            where the files of an Item are
`statistics.py`       cloud cover, quality and times
`extents.py`          collections and their extents; `extensions.py`: STAC extensions
====================  ================================================================
"""
