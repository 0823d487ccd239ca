"""What stays a plain object of Python's where the hot path is compiled."""


class PlainObject:
    """The base of what others may refer to weakly, or give attributes of their own.

    mypyc leaves room for neither, unless a class inherits from one that was not compiled, as this
    one is not.  To Python it means nothing.  (docs/compiled.md)
    """

    __slots__ = ()
