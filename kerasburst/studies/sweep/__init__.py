"""Sweeps over parameters: what each does to accuracy, firing and privacy."""
