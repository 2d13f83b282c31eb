"""The check catalogue, its two runners and the report."""
