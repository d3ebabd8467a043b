"""What every test may count on."""

import signal


def pytest_configure():
    """Under nohup SIGHUP is ignored, here and in every process that a test starts; tests send it."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
