"""How fast things are, measured so that a number means the same tomorrow: ratios within one run, repeats by turns.

Rooms: :mod:`clock` takes turns, :mod:`machine` says what the machine can do at most, :mod:`reference` drives a checkout
of the reference repository; :mod:`answering`, :mod:`learning`, :mod:`drawing` and :mod:`starting` are what is measured.
"""
