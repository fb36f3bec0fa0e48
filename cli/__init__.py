"""The command line: one module a command, which parses and makes one call into the library."""
