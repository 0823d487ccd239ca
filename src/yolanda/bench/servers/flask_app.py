"""The page as a Flask application."""

import flask
from pages import PAGE

app = flask.Flask(__name__)


@app.route("/")
def index() -> flask.Response:
    """Answer with the page."""
    return flask.Response(PAGE, content_type="text/html")
