"""One file per module of `origin`: pure rendering as tables, handlers over real sockets on loopback with a clock of their own."""
