"""One identity towards AWS, and secrets that rotate."""
