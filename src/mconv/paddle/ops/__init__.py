"""The translations of PIR operations, one family a module; importing a module declares its functions."""
