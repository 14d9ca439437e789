"""One file per module of `config`, and each module is fully covered by its own.

Messages and remedies are asserted word by word: they are what an operator has at night.
"""
