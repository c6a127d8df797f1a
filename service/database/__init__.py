"""PostgreSQL: the engine, the tenant session, and what a migration calls to isolate a table."""
