"""Which sublayer pruning broke a token in, by layer, by exchange, and by what is remembered."""
