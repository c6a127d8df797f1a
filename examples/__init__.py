"""Features as an adopter writes them: copy a folder to service/, name it in service/product.py."""
