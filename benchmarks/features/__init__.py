"""The extraction of features, beside the loop that a careful user writes."""
