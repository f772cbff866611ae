"""Progress, files, folders, processes and memory."""
