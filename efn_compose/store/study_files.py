"""Names of the files that a study leaves in its run folder, and of what they have in common."""

#: The design: axes, points, blocks; what the report is drawn from, with the journal.
STUDY_FILE = "study.json"
#: Seconds of every network and size, where all trainings are to take equal seconds.
PACES_FILE = "paces.json"
#: A row per training; equal bytes whatever the workers.
TABLE_FILE = "table.csv"
#: Measured seconds of every training.
TIMES_FILE = "times.csv"
#: The axis that is no part of a combination: every combination is compared on each data set.
DATA_AXIS = "data"
