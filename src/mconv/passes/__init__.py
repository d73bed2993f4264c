"""Passes: Program in, Program out."""
