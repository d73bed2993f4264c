"""Damaged and hostile input of every format, given to the command line in processes of its own.

``python -m tests.fuzz FORMAT --count 2000`` runs a format; ``--keep DIR`` keeps what was found. See :mod:`tests.fuzz.harness`.
"""
