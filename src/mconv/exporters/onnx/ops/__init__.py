"""Converters of Paddle operators, one file per family."""
