"""The Railway side."""
