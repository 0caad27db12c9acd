"""The generated tables of README.md and docs/: of the ops and of recorded runs. A test holds the pages to them."""
