"""Publishing: the Items of what deepsalt writes, and the catalogue of a store that links them.

In come products, mosaics and models as plain values; out come STAC documents below a store's root.
Open first `products.py` (Items of scene products and mosaics), then `store_catalog.py` (how they
are linked while others publish); `models.py` has the Item of a model.
"""
