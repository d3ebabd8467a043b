"""What every test may count on."""

import signal

from hypothesis import settings

# The same examples in each run, however slow the machine.
settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
settings.load_profile("fixed")


def pytest_configure():
    """Under nohup SIGHUP is ignored, here and in every process that a test starts; tests send it."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
