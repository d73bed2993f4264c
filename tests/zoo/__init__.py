"""Architectures that the conversions are tried on: small, random weights, dynamic batch and length or size."""
