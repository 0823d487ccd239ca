"""Measure what TLS costs: ``.venv-bench/bin/python benchmarks/tls.py --help``.

Requests on connections that stay, and handshakes: each a connection, a request and its end.  The
figures are those of `run.py`, and are taken in the same way.
"""

import argparse
import os
import signal
import ssl
import subprocess
import sys
from functools import partial
from pathlib import Path

import contenders
import load
import machine
import report
import run
from contenders import SERVERS, Contender

CONNECTIONS = 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=run.positive, default=5)
    parser.add_argument("--seconds", type=run.positive, default=3, help="seconds of a run (3)")
    parser.add_argument("--contenders", type=lambda text: text.split(","), help="these alone: a,b")
    options = parser.parse_args()
    present = []
    for contender in HTTPS:
        if options.contenders is not None and contender.name not in options.contenders:
            continue
        reason = contender.missing()
        print(f"{contender.name}: {reason or contender.version()}")
        if not reason:
            present.append(contender)
    if contenders.find_program("wrk") is None or contenders.find_program("openssl") is None:
        print("needs wrk and openssl")
        return 2
    server_core, client_core = run.choose_cores()
    for name, value in machine.describe().items():
        print(f"{name + ':':<14} {value}")
    print(f"{'OpenSSL:':<14} {ssl.OPENSSL_VERSION}")
    run.raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))
    os.sched_setaffinity(0, {client_core})

    measured: dict[load.Workload, report.Rounds] = {
        workload: {contender.name: [] for contender in present} for workload in WORKLOADS
    }
    for number in range(options.rounds):
        for contender in present:
            run.show(f"round {number + 1} of {options.rounds}, {contender.name}")
            samples = run_once(contender, options.seconds, server_core)
            for workload in WORKLOADS:
                measured[workload][contender.name].append(samples.get(workload))
    run.show("")
    for workload, rounds in measured.items():
        title = f"{workload.name}, {options.rounds} x {options.seconds} s"
        report.print_table(title, "request", rounds, ["nginx", "uvicorn", "granian", "hypercorn"])
    return 0


def run_once(contender: Contender, seconds: int, core: int) -> dict[load.Workload, load.Sample]:
    """Start a server and apply the workloads; a failure is printed, and what it leaves is less."""
    samples: dict[load.Workload, load.Sample] = {}
    try:
        with contenders.running(contender, core) as (port, session):
            trusting = ssl.create_default_context()
            trusting.check_hostname = False
            trusting.verify_mode = ssl.CERT_NONE
            load.check_page(port, trusting)
            load.warm_up_http(port, "https")
            for workload in WORKLOADS:
                samples[workload] = workload.run(port, session, seconds)
    except RuntimeError as error:
        run.show("")
        print(f"FAILED: {error}")
    return samples


WORKLOADS = [
    load.Workload(
        f"TLS: small GET, {CONNECTIONS} connections",
        CONNECTIONS,
        partial(load.run_wrk, CONNECTIONS, load.SMALL, scheme="https"),
    ),
    load.Workload("TLS: handshake, small GET and end", 2, load.run_handshakes),
]


# ---- contenders --------------------------------------------------------------------------


def _certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate for localhost, with the kind of key that most sites have today."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command += f" -out {certificate} -keyout {key}"
    subprocess.run(command.split(), check=True, capture_output=True)
    os.chmod(key, 0o644)  # nginx's worker is another user; the folder is gone in seconds
    return certificate, key


def _nginx(port: int, folder: Path) -> list[str]:
    certificate, key = _certificate(folder)
    command = contenders.HTTP[0].command(port, folder)
    configuration = folder / "nginx.conf"
    text = configuration.read_text()
    lines = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    lines += " ssl_protocols TLSv1.2 TLSv1.3;"
    listen = f"listen 127.0.0.1:{port}"
    configuration.write_text(text.replace(listen, f"{lines}\n        {listen} ssl"))
    return command


def _with_options(base: str, certificate: str, key: str, port: int, folder: Path) -> list[str]:
    """The command of a server in plain HTTP, with the options that give it a certificate."""
    plain = next(contender for contender in contenders.HTTP if contender.name == base)
    files = _certificate(folder)
    return [*plain.command(port, folder), certificate, files[0], key, files[1]]


def _hypercorn(port: int, folder: Path) -> list[str]:
    certificate, key = _certificate(folder)
    command = ["env", f"PYTHONPATH={SERVERS}", sys.executable, "-m", "hypercorn", "asgi_app:app"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "uvloop"]
    command += ["--backlog", "4096", "--log-level", "warning"]
    return [*command, "--certfile", certificate, "--keyfile", key]


def _yolanda(port: int, folder: Path) -> list[str]:
    return [sys.executable, str(SERVERS / "yolanda_https.py"), str(port), *_certificate(folder)]


HTTPS = [
    Contender("nginx", _nginx, program="nginx"),
    Contender(
        "uvicorn",
        partial(_with_options, "uvicorn", "--ssl-certfile", "--ssl-keyfile"),
        modules=("uvicorn", "uvloop", "httptools"),
    ),
    Contender(
        "granian",
        partial(_with_options, "granian", "--ssl-certificate", "--ssl-keyfile"),
        modules=("granian", "uvloop"),
    ),
    Contender("hypercorn", _hypercorn, modules=("hypercorn", "uvloop")),
    Contender("yolanda", _yolanda, modules=("yolanda", "httptools")),
]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
