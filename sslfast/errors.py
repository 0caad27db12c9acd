"""The failures that the command line turns into one line and an exit code, and the form of what it shows."""

import logging


class UsageError(Exception):
    """Bad arguments or data. The message says what is wrong, where, and what to do about it. Exit code 2."""


class TrainingError(Exception):
    """A failure after which training cannot go on. Exit code 1."""


# In the messages of PyTorch's allocators, of CUDA's libraries, of DALI and of C++.
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "bad_alloc",
    "ALLOC_FAILED",
    "Storage size calculation overflowed",
)


def is_out_of_memory(error: Exception) -> bool:
    """Tells whether an error says that there is not enough memory, of the host or of the device."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def printable(text: str) -> str:
    r"""Escapes each character of a text that a terminal would act on or cannot show: \x1b, \n, \udcb4.

    Names of files and classes hold any character: control sequences, line breaks, bytes that are not UTF-8.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class PrintableFormatter(logging.Formatter):
    """A formatter of log lines whose messages are `printable`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))
