"""Recordings in the shell and on the screen: the list, the comparison, the exports. Without Textual."""
