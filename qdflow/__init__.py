"""Normalizing flows for electrons in a quantum dot, held against Monte Carlo.

Nothing is imported here, so that a script depends on exactly the modules it names.
"""
