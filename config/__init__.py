"""What the operator wants: settings, declared once each, checked before anything starts.

Building a configuration has no side effect but reading its file. It imports `selection.model` and nothing
else of the project; no module reads the environment or the file after the start.
"""
