"""Figures of the centre that show nobody: counted from the history, published by whole quarters.

`person` folds the events of a case into what is counted, `counting` counts, `hiding` decides which
cells are hidden, `tables` is what is published, `following` reads the history in its order.
"""
