"""Latency of models and load on services, measured in turns, with the answers compared."""
