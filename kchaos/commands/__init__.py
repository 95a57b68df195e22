"""The commands behind the command line, one module each; the command line imports each only when it is called."""
