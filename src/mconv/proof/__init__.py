"""Proof: inputs, runners, and the comparison of what they answer."""
