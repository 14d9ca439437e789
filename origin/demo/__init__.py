"""`live-origin demo`: an origin, two ffmpeg packagers and a reader in one command, and a page that explains them.

Nothing here is used by the server. What the demo checks, it computes itself (`media`), so that it can catch
the origin being wrong.
"""
