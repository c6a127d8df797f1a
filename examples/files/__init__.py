"""Files of a tenant, and API keys for the programs that bring them: a feature that uses every door there is."""
