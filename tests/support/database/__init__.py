"""Real databases, and the ways to them."""
