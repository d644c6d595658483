"""Real servers for tests, each started on first use, once a session, on a free port of this machine."""
