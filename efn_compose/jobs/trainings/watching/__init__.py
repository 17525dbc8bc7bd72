"""What a person sees of trainings: progress in the terminal, and curves."""
