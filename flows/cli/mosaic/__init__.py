"""The sub-verbs of `mosaic`, one file each; `app.py` joins them."""
