"""Measurements: what Yolanda costs, and how the ways to write a server compare.

``yolanda bench`` runs them.  A file a part; `parts.PARTS` lists them.
"""
