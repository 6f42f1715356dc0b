"""Answers and models as files: one archive each, whole or not at all, and nothing in it that runs code."""
