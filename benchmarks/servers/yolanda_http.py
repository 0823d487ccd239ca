"""The HTTP example behind Yolanda's handler API: ``yolanda_http.py PORT``."""

import sys

from yolanda.http import HttpServer
from yolanda.programs.chapter34.http_server01 import on_request

HttpServer(f"127.0.0.1:{sys.argv[1]}", on_request, threads=0).run()
