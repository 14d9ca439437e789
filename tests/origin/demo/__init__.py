"""Tests of `origin.demo`, file for file; the whole command is in `tests/integration/test_demo.py`."""
