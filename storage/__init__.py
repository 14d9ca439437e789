"""Bytes and records: what was published, where it lies, what was chosen.

Nothing here sees a URL, a status or a header. It imports `selection.model` and nothing else of the
project (`tests/test_tidy.py` enforces it).
"""
