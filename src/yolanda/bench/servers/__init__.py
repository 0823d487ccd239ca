"""The programs of those that are measured, each run by its path and given its port.

None imports another part of this package but for what stands beside it, so that a peer's process
holds nothing of Yolanda.  The servers of the comparison of I/O models, ``model_*``, are Yolanda's
own, and run as modules.
"""
