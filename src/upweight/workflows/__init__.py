"""Whole jobs, from data to what a person reads: one file each; the commands and Python both call them."""
