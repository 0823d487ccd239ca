"""Programs of others that the measurements need: found, and installed where that can be done."""

import os
import shutil
import subprocess

PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "openssl": "openssl", "strace": "strace"}
"""As Debian and Ubuntu call them."""


def find(name: str) -> str | None:
    """Find a program, also where only root's PATH leads."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def provide(*names: str, install: bool) -> str:
    """Install what is missing of the programs, as root with apt-get; say why something still is.

    The answer is empty if all are there.
    """
    missing = [name for name in names if find(name) is None]
    if not missing:
        return ""
    lacking = f"there is no {' and no '.join(missing)}"
    if not install:
        return f"{lacking}, and --no-install was given"
    if os.geteuid() != 0 or find("apt-get") is None:
        return f"{lacking}; only root with apt-get can install it from here"
    packages = [PACKAGES[name] for name in missing]
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", *command],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return f"{lacking}; apt-get {command[0]} failed: {done.stderr.strip()[-500:]}"
    return ""
