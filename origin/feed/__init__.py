"""What deliver processes are told by the publish process of their node: what exists, as it happens, in order.

A deliver process has either the catalog that the journal had at its sequence, or says that it is behind.
"""
