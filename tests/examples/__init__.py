"""The examples, put into a product."""
