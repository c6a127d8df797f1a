"""Identity providers as data, and how they are asked: presets, discovery, bounded fetches."""
