"""Those who use the API by its document: linters, generated clients, and clients of the last release."""
