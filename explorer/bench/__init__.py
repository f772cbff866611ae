"""`phier bench`: what the program costs, printed beside its limits."""
