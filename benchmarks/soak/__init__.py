"""A run that is killed again and again, and one that runs long: what each leaves."""
