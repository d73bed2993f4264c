"""Paddle's own programs, PIR (Paddle 3's ``.json``) and ProgramDesc of any era → Program; needs no paddle.

Nothing is imported here: a program that its target knows as it is (:mod:`mconv.paddle.legalize`) needs no converter.
"""
