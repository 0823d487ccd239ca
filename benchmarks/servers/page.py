"""The page that every HTTP contender answers with: the one of the HTTP example."""

PAGE = (
    b"<html><head><title>This is network programming</title></head>"
    b"<body><h1>Hello, network programming</h1></body></html>"
)
