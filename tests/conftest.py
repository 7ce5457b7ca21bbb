"""Settings of all tests."""

import signal
import threading

from hypothesis import settings

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("spkid", deadline=None)
settings.load_profile("spkid")

# In the background of a script SIGINT is ignored, and so it would be by every program that the tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
