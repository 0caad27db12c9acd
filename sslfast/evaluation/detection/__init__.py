"""The protocol `detect`: an encoder is judged by what a detector of objects becomes of it."""
