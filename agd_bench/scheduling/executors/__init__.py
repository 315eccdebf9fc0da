"""Where attempts run: in this process, in threads of it, or in a pool of Ray actors. Nothing is imported here."""
