"""The explorer in a browser: a server, and a process of the program for each tab. Only it knows textual-serve."""
