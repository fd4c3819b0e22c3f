"""Training: recipes, the resumable run, its loop, and what it leaves on disk. This file stays free of torch."""
