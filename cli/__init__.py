"""The `kerasburst` command: thin, one module per command."""
