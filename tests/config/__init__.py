"""One file per module of `config`, and each module is fully covered by its own: tables of values, keys, messages, remedies."""
