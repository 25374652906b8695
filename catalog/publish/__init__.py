"""Publishing: the Items of what deepsalt writes, and the catalogue of a store that links them.

Takes products, mosaics and models as plain values; writes STAC documents below a store's root. Open
`products.py` first (Items of scene products and mosaics), then `store_catalog.py` (how they are
linked while others publish); `models.py` has the Item of a model.
"""
