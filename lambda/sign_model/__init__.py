"""Seals a model that passed the gate, and signs what it is."""
