"""One browser, one provider, one use: what every kind of sign-in shares."""
