"""`sslfast export`: an encoder in a form that other software loads."""

from sslfast.commands.export.command import FORMATS, export

__all__ = ["FORMATS", "export"]
