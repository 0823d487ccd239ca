"""The HTTP example over TLS: ``yolanda_https.py PORT CERTIFICATE KEY``."""

import sys

from yolanda import ServerTls
from yolanda.http import HttpServer
from yolanda.programs.chapter34.http_server01 import on_request

port, certificate, key = sys.argv[1:]
HttpServer(f"127.0.0.1:{port}", on_request, tls=ServerTls(certificate, key)).run()
