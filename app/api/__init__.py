"""REST: thin routes over the supervisor, one file a noun."""
