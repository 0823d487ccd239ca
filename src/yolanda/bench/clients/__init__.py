"""What loads a server: programs that speak plainly and fast, and scripts for wrk."""
