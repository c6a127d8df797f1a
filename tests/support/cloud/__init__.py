"""AWS and Railway as the tests see them."""
