"""Tasks over many items: options, classification, retrieval, generation; scoring of texts; the verdict on a setting."""
