"""Spectral physics: band tables, responses, indices."""
