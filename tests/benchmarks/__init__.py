"""Numbers the project promises, measured by hand with `make bench`; nothing here asserts a speed."""
