"""Writes down where the algorithms are that AWS ships as scripts, from AWS's public list of them."""
