"""The verbs of the service that maps new scenes by itself, one file each: options in, text out.

`serve` runs it, `status` shows how it stands, `proposals` asks a person. Open `serve.py` first.
"""
