"""What a sweep found, arranged for people: its trials as a table and as figures, and the sweep in a few lines."""
