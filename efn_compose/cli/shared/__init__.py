"""What all verbs share: the table of verbs, output and exit codes, image options."""
