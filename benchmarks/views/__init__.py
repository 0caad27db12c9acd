"""Input pipelines, beside those of other packages."""
