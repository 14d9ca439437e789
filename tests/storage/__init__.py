"""One file per module of `storage`: what a crash, a full disk or a second reader may and may not change."""
