"""STAC in and out: search, `parse_item`, `to_item`, publish."""
