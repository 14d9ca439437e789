"""HTTP, processes, wiring and metrics: the edge, where decisions made elsewhere are acted on.

Only this package imports aiohttp, uvloop and prometheus_client. It may import `config`, `storage` and
`selection`; nothing of the project imports it (`tests/test_tidy.py` enforces both).
"""
