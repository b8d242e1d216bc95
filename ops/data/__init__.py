"""Data that comes with the command line: the demo's catalogue and its generator."""
