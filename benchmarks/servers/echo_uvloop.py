"""The same protocol on uvloop: ``echo_uvloop.py PORT``."""

import sys

import uvloop
from echo_asyncio import serve

uvloop.run(serve(int(sys.argv[1])))
