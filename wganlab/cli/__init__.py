"""The command line, one module a verb: ``train``, ``sample``, ``evaluate``, ``audit``, ``doctor``.

``grammar`` reads the arguments and imports nothing slow, so that ``wganlab --help`` answers at once.
"""
