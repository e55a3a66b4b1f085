"""One row for each image that a user names: `inputs` finds them, a `Table` keeps their answers.

Whatever answers (a classifier, a captioner) comes in as a function; nothing here needs torch.
"""
