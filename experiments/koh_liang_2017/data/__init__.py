"""The experiments' data, read; where a file is missing, the stand-in that a package carries, and its name.

One file a kind of data. To run an experiment on data of your own, change its reader.
"""
