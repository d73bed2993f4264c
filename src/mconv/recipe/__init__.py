"""Recipes: whole chains from a source model to the service, written down as YAML; :mod:`mconv.api` runs them."""
