"""HTTP and websocket connections: TLS, secrets, limits."""
