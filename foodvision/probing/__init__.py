"""Probing: what a frozen network's features can tell apart."""
