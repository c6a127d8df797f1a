"""Every property of the templates, broken once, to see that a gate objects."""
