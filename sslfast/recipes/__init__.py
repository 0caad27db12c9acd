"""What a run is to be: recipes as YAML files, how they are read, and what they are refused for."""
