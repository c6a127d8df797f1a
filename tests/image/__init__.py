"""The image, and what a start of the service does."""
