"""From stack outputs to checked variables: one table, one way."""
