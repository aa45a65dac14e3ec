"""The words of the command line, one file for those that belong together; all but ``serve`` are clients of REST."""
