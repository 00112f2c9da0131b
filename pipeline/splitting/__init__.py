"""By what records come to their splits where the rank of a key does not decide it.

`rule` is what was asked for, `apportion` how many records of each class go where, `search` finds the record
at a rank without holding all of them, `deciding` puts them together, `division` is what comes of it: a pure
function from key and split value to the split. Nothing here knows runs, tasks or CSV.
"""
