"""Options that make no sense: one line that names the option, wherever it was written."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from yolanda.apps.config import MOST_WORKERS, Config, ConfigError
from yolanda.apps.http_servers import make_tls


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"host": ""}, "--host"),
        ({"port": -1}, "--port"),
        ({"port": 65536}, "--port"),
        ({"port": "http"}, "--port"),
        ({"unix": ""}, "--unix"),
        ({"fd": -1}, "--fd"),
        ({"bind": ("here",)}, "--bind"),
        ({"unix": "/a", "fd": 3}, "--unix and --fd"),
        ({"backlog": 0}, "--backlog"),
        ({"backlog": 1 << 31}, "--backlog"),
        ({"interface": "cgi"}, "--interface"),
        ({"root_path": "a"}, "--root-path"),
        ({"root_path": "/a/"}, "--root-path"),
        ({"root_path": "/a?b"}, "--root-path"),
        ({"root_path": "/a\r\nb"}, "--root-path"),
        ({"workers": 0}, "--workers"),
        ({"workers": MOST_WORKERS + 1}, "--workers"),
        ({"threads": 0}, "--threads"),
        ({"threads": 1_000_000}, "--threads"),
        ({"reload": True, "workers": 2}, "--reload .* --workers"),
        ({"timeout_worker": 0.01}, "--timeout-worker"),
        ({"timeout_worker": -1}, "--timeout-worker"),
        ({"timeout_graceful_shutdown": "nan"}, "--timeout-graceful-shutdown"),
        ({"timeout_keep_alive": "inf"}, "--timeout-keep-alive"),
        ({"timeout_write": 1e300}, "--timeout-write"),
        ({"timeout_write": "soon"}, "--timeout-write"),
        ({"limit_max_requests_jitter": 3}, "--limit-max-requests-jitter needs"),
        ({"limit_worker_memory": "10MB"}, "--limit-worker-memory"),
        ({"ssl_keyfile": ("a",)}, "--ssl-keyfile needs --ssl-certfile"),
        ({"ssl_ca_certs": "a"}, "--ssl-ca-certs needs --ssl-certfile"),
        ({"ssl_ciphers": "a"}, "--ssl-ciphers needs --ssl-certfile"),
        ({"ssl_keyfile_password": "a"}, "--ssl-keyfile-password needs --ssl-certfile"),
        # Who demands certificates of clients, and does not say whose, would get none.
        ({"ssl_cert_reqs": "required"}, "--ssl-cert-reqs needs --ssl-ca-certs"),
        ({"proxy_protocol": "here"}, "--proxy-protocol"),
        ({"header": ("X",)}, "--header"),
        ({"header": (": x",)}, "--header"),
        ({"header": ("X y: z",)}, "--header"),
        ({"header": ("X: a\r\nY: b",)}, "--header"),
        ({"header": ("X: \N{EURO SIGN}",)}, "--header"),
        ({"header": ("Content-Length: 3",)}, "--header"),
        ({"header": ("transfer-encoding: chunked",)}, "--header"),
        ({"header": ("Connection: upgrade",)}, "--header"),
        ({"metrics": "here"}, "--metrics"),
        ({"health": "perhaps"}, "--health"),
        ({"wokers": 2}, "'wokers'; did you mean 'workers'"),
    ],
    ids=repr,
)
def test_what_makes_no_sense(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        Config.of(options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ssl_certfile", "ssl_keyfile", "ssl_ca_certs"])
def test_a_file_of_tls_that_is_none(name: str, tmp_path: Path) -> None:
    good = tmp_path / "good.pem"
    trustme.CA().issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(str(good))
    options = {"ssl_certfile": str(good), name: str(tmp_path / "nothing.pem")}
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(ConfigError, match=f"^{option}: .*nothing.pem: No such file"):
        make_tls(Config.of(options))


def test_the_place_is_named_where_it_is_written(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.yolanda]\nworkers = 'two'\n")
    with pytest.raises(ConfigError, match=r"pyproject\.toml: workers: 'two'"):
        Config.load({}, environment={}, project=project)
    with pytest.raises(ConfigError, match="YOLANDA_PORT: 'x'"):
        Config.load({}, environment={"YOLANDA_PORT": "x"}, project=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"YOLANDA_WORKRS is no option.*YOLANDA_WORKERS"):
        Config.load({}, environment={"YOLANDA_WORKRS": "2"}, project=tmp_path / "none")


def test_the_command_line_counts_more_than_the_environment_and_that_more_than_the_file(
    tmp_path: Path,
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.yolanda]\nworkers = 2\nthreads = 2\nport = 2\n")
    environment = {"YOLANDA_WORKERS": "3", "YOLANDA_THREADS": "3"}
    config = Config.load({"workers": 4}, environment=environment, project=project)
    assert (config.workers, config.threads, config.port) == (4, 3, 2)
    # Where to listen is said as a whole: a port of the file does not go with this path.
    assert Config.load({"unix": "/a"}, environment={}, project=project).port == Config.port
