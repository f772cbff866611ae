"""The terminal explorer and the command line; never loads torch at import time."""
