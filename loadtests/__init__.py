"""Packagers, caches, rewinders and junk that load a running origin.

It sees nothing of the project but HTTP and keeps its own arithmetic, so that it can catch ours being
wrong (`tests/test_tidy.py` enforces it).
"""
