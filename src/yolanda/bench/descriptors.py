"""How many descriptors a process may have open: a connection needs one on either side."""

import contextlib
import resource


def raise_limit() -> int:
    """Raise the limit as far as it goes and return it; servers and clients inherit it.

    (Man 2 getrlimit, RLIMIT_NOFILE.)
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # what is not allowed stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
