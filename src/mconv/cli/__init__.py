"""The command line: one module per subcommand. It parses, calls :mod:`mconv.api` and renders; nothing else."""
