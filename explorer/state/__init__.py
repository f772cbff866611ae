"""Pure functions of the events and of where one looks."""
