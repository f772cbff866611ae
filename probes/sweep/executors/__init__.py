"""Where the cells of a sweep are computed: here, in processes, on a cluster."""
