"""Benchmarks: models, a gate of correctness, and what is timed behind it; installed as semiseg.bench."""
