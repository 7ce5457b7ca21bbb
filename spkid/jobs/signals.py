"""Ctrl-C, SIGTERM and SIGHUP as one exception, which a launcher answers by ending its jobs."""

import signal

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def interrupt_on_signals() -> None:
    """From now on the first of these signals raises KeyboardInterrupt with its number; later ones are ignored."""
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, _interrupt)


def _interrupt(number, _frame):
    for other in ENDING_SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # a second one must not keep us from ending the jobs
    raise KeyboardInterrupt(number)
