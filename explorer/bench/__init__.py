"""The tables of `phier bench`: the cost of the program, beside its limits."""
