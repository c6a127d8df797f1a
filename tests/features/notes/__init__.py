"""Notes: the smallest feature there is."""
