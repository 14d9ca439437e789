"""Injected failures: what must still hold while the disk is slow, full, broken or lying, and that nothing leaks."""
