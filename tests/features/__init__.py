"""Features of the tests, beside the examples."""
