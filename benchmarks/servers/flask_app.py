"""The page as a Flask application."""

import flask
from page import PAGE

app = flask.Flask(__name__)


@app.route("/")
def index() -> flask.Response:
    return flask.Response(PAGE, content_type="text/html")
