"""Owns the toy Monte-Carlo whose records look like HEPMASS: physics only, arrays out.

    draws           raw random bits → uniform numbers, tabulated distributions, directions
    elementary      sine, cosine, angle and logarithm that give the same bits on every machine
    collision       one top-antitop pair per record → what a detector would see of it
    reconstruction  what was seen → the five invariant masses and the b-tags
    records         blocks of records as HEPMASS stores them: the one module that others use

Everything is made of additions, multiplications, divisions and square roots, which IEEE 754 rounds in one
way only, and of Philox bits, whose stream NumPy promises to keep: the records of a seed are the same bytes
on every machine, whatever the vector instructions it has. All numbers here are simulated; no detector, no
generator tuned to data stands behind them.
"""
