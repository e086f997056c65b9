"""HTTP: routes and handlers that only translate."""
