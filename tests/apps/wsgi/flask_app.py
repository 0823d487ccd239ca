"""A Flask application with pages, an upload, a stream and a file."""

import hashlib
import os
from collections.abc import Iterator

import flask

app = flask.Flask(__name__)
app.secret_key = "not secret"


@app.route("/")
def index() -> str:
    name = flask.request.args.get("name", "network")
    return flask.render_template_string("<h1>hello, {{ name }}</h1>", name=name)


@app.route("/visits")
def visits() -> str:
    flask.session["visits"] = flask.session.get("visits", 0) + 1
    return str(flask.session["visits"])


@app.route("/upload", methods=["POST"])
def upload() -> dict[str, object]:
    file = flask.request.files["file"]
    data = file.read()
    return {
        "name": file.filename,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "note": flask.request.form["note"],
    }


@app.route("/json", methods=["POST"])
def double() -> dict[str, object]:
    assert flask.request.json is not None
    return {"twice": flask.request.json["number"] * 2}


@app.route("/stream")
def stream() -> flask.Response:
    def lines() -> Iterator[str]:
        for number in range(5):
            yield f"line {number}\n"

    return flask.Response(flask.stream_with_context(lines()), mimetype="text/plain")


@app.route("/file")
def file() -> flask.Response:
    return flask.send_file(os.environ["SERVED_FILE"], conditional=True)


@app.route("/address")
def address() -> dict[str, object]:
    request = flask.request
    return {"client": request.remote_addr, "url": request.url, "root": request.script_root}


@app.route("/fail")
def fail() -> str:
    raise RuntimeError("wrong in the application")
