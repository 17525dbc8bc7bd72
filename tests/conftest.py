"""What test files share."""

collect_ignore = ["support"]
