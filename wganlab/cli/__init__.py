"""The command line, one module for each verb of ``wganlab --help``.

``grammar`` reads the arguments and imports nothing slow, so that ``wganlab --help`` answers at once.
"""
