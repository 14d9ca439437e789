"""Pure decisions: values and `now_ms` in, values out.

Nothing here reads a clock, a file, a socket or a log; nothing here awaits. A test of this package needs
no mock. It imports nothing of the project but itself (`tests/test_tidy.py` enforces both).
"""
