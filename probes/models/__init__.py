"""How weights get from a name to a folder on this disk: the cache, kept copies, GGUF, the hub."""
