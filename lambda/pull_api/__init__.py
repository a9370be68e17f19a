"""Pulls an HTTP API into the incoming folder of a source."""
