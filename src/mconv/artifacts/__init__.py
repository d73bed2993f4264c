"""What is written: staged output, hashes, provenance."""
