"""The functions that `import sslfast` offers, and the run as an object."""
