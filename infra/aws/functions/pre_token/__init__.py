"""The pre token generation function; only ``handler.py`` is deployed."""
