"""The sub-verbs of `mosaic`, one file each: options in, calls of the library, text or JSON out.

Open `app.py` first, which joins them.
"""
