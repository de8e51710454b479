"""What a sweep found, arranged for people: a table of its trials, and a summary of the sweep."""
