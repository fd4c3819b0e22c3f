"""Benchmarks: one command per question, results as JSON beside them."""
