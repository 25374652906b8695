"""The sub-verbs of `mosaic`, one file each; open `app.py` first, which joins them."""
