"""Program → the formats of others."""
