"""What the tests share: plain oracles, generators of CSV text, datasets read back, the command line.

`oracle` knows nothing of the package, `texts` makes sources, `datasets` converts and reads shards with
pyarrow alone, `trained` makes tiny models, `command` runs the program as a user does.
"""
