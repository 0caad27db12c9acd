"""The two failures that the command line turns into one line and an exit code, and the form of what it shows."""

import logging


class UsageError(Exception):
    """Bad arguments or data. The message says what is wrong, where, and what to do about it. Exit code 2."""


class TrainingError(Exception):
    """A failure after which training cannot go on. Exit code 1."""


def printable(text: str) -> str:
    r"""The text with an escape for each character that a terminal would act on or cannot show: \x1b, \n, \udcb4.

    Names of files and classes hold any character: control sequences, line breaks, bytes that are not UTF-8.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class PrintableFormatter(logging.Formatter):
    """A formatter of log lines whose messages are `printable`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))
