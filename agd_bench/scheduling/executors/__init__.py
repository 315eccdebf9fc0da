"""Where attempts run: in this process, in its threads, or in a pool of Ray actors. Nothing is imported here."""
