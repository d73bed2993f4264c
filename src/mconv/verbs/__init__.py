"""Verbs of the API that join several rooms; :mod:`mconv.api` names them."""
