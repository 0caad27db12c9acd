"""Recipes, which say what a run is to be: the YAML files, their reading, and their checks."""
