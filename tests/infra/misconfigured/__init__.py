"""Misconfigurations as people make them, a row each, and the world in which `auth check` meets them."""
