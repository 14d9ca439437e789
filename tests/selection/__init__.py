"""One file per module of `selection`, which it covers fully: tables, with both sides of each boundary."""
