"""Identity providers that tests sign in at."""
