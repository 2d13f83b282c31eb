"""The road of the data: receive, read, map, protect, check, store, project, assess."""
