"""The user's config file: what it may say, how it is read, and an example of it."""
