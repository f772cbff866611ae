"""Models made elsewhere: read, measured, compared, saved."""
