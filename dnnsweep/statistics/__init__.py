"""What repeats of configurations may claim: races, intervals, effects and expected scores, as pure functions.

Nothing here trains, reads or writes. Scores of repeats are arrays of [candidates, blocks] as
`paired_scores.oriented` returns them: larger is better, -inf where a repeat diverged, NaN where none was run.
"""
