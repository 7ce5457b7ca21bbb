"""The one exception for everything a user can cause and a user can mend."""


class InputError(Exception):
    """A file, a table, an option or a value that cannot be used as it is.

    The message is one sentence for the person at the terminal: the file, the id, what is wrong and, where that is not
    obvious, what to do next. Programs print it as one line and exit with status 1.
    """
