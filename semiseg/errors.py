"""The one family of errors that a user of the library or of the command line can cause."""


class SemisegError(Exception):
    """Something outside the program is wrong; the message is one line that says what was expected and what came."""


class UsageError(SemisegError):
    """What was asked for makes no sense, whatever the data are."""
