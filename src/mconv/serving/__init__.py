"""Paddle Serving: its configuration files, its two folders, its official tool."""
