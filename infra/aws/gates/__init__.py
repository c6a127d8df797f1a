"""The rules of this project, as tables: what finished templates have to say, and what must not be missing from them."""
