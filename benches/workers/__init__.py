"""One process for each client: it connects, says so, and makes requests for as long as it is told."""
