"""One folder per package, one test file per module; beside them what crosses modules.

`properties/` states what holds for every input, `integration/` runs real servers and clients, `faults/`
injects failures, `benchmarks/` guards numbers, `support/` holds what they share. Tests may import everything.
"""
