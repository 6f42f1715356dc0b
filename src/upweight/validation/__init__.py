"""Estimates against real refits: samples, comparisons, the grade, the check."""
