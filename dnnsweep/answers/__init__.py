"""What a sweep answers at its end, as pure functions of recorded trials, repeats and test answers.

Nothing here trains, reads or writes. Plans say which repeats are to be run next; whoever runs sweeps runs them. What
they return depends on the repeats alone, and not on the order in which these ended, so that an interrupted answer is
continued as if it had not been.
"""
