"""The pictures of a run, and the sections of the page that shows them."""
