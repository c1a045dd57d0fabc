"""Fieldpost."""
