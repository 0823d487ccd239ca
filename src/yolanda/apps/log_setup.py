"""Python's logging, as the options say."""

import json
import logging
import logging.config
import tomllib
from pathlib import Path
from typing import Any

from yolanda.apps.config import Config, ConfigError

_FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"


def set_up_logging(config: Config) -> None:
    """Log to the standard error, or as ``--log-config`` says.

    Raises `ConfigError` for a file that cannot be used.
    """
    # It tells of each change, as --reload does.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    if config.log_config is None:
        logging.basicConfig(format=_FORMAT, level=config.log_level.upper(), force=True)
        return
    path = Path(config.log_config)
    try:
        if path.suffix in (".ini", ".conf", ".cfg"):
            logging.config.fileConfig(path, disable_existing_loggers=False)
        else:
            logging.config.dictConfig({"disable_existing_loggers": False, **_read(path)})
    except OSError as error:
        raise ConfigError(f"--log-config {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ConfigError(f"--log-config {path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".json":
            found = json.loads(text)
        case ".toml":
            found = tomllib.loads(text)
        case ".yaml" | ".yml":
            found = _read_yaml(text)
        case other:
            raise ValueError(f"a file that ends in .json, .toml, .yaml or .ini, not {other!r}")
    if not isinstance(found, dict):
        raise ValueError("it is no table")
    return found


def _read_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ValueError("YAML needs PyYAML: pip install 'yolanda[yaml]'") from None
    return yaml.safe_load(text)
