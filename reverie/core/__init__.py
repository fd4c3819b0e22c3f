"""Layer 0: what every room may lean on. Import its modules by name; this file stays free of torch."""
