"""Notes of a tenant: the smallest feature there is, a table and three routes."""
