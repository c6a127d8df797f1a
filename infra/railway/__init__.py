"""From stack outputs to the Railway environment."""
