"""One file per module of `origin`: pure rendering as tables, handlers on real sockets with a fake clock."""
