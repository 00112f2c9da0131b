"""Networks and what surrounds them, each in a module of its own.

`dense` and `resnet` are the networks; `target` is what is predicted: last layer, loss, metric, for classes or
a number; `loss` is for labels that are smoothed or weighted. `raw` makes a trained network take records as
they stand in the CSV; `description` is what a saved model expects and predicts, as JSON beside it; `saved`
opens such a model after checking it, `scoring` computes with it.
"""
