"""Membership-inference audits: signals, attacks, and metrics with intervals."""
