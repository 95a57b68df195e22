"""From files to objects with file and line."""
