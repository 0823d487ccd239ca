"""``python -m yolanda`` is ``yolanda``."""

from yolanda.cli import main

main()
