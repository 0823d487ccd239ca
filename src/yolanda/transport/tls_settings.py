"""What a side of TLS needs to know: certificates, whom to trust, which versions.

Both settings read their files when they are made, so that what is wrong with them is said at the
start, and by name.  (RFC 8446, 6066 section 3 for server names, 7301 for ALPN.)
"""

import logging
import os
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

log = logging.getLogger("yolanda.transport")

HANDSHAKE_TIMEOUT = 10.0
"""Seconds from the connection to the end of the handshake."""

Path = str | os.PathLike[str]
Version = Literal["1.2", "1.3"]
ClientCertificate = Literal["none", "optional", "required"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_DEMANDS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name


class TlsSettingsError(ValueError):
    """A setting of TLS that cannot work; the text names the setting and the file."""


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What a handshake has agreed on, as a value."""

    version: str
    """``"TLSv1.3"`` or ``"TLSv1.2"``."""
    cipher: str
    """OpenSSL's name of the cipher suite."""
    alpn_protocol: str | None
    """What the two agreed to speak, such as ``"http/1.1"``; `None` if one side named nothing."""
    server_name: str | None
    """The name that the client asked for (SNI)."""
    peer_certificate: dict[str, Any] | None
    """The other side's certificate, verified and decoded as `ssl.SSLSocket.getpeercert` does."""
    peer_certificate_der: bytes | None
    """The same as it came."""


class TlsObject(ssl.SSLObject):
    """OpenSSL's side of a connection, which also remembers the name that the client asked for."""

    requested_name: str | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as files in PEM form.

    - ``certificate``: the file with the certificate, behind which stand those that lead to the CA;
    - ``key``: the file with its private key; by default it is in the same file;
    - ``password``: of the key, if it is encrypted.
    """

    certificate: Path
    key: Path | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The certificates as they were read: replaced whole, so that no handshake sees a mixture."""

    default: ssl.SSLContext
    by_name: dict[str, ssl.SSLContext]
    expired: dict[Path, str]  # what is to be said of those that are out of date


class ServerTls:
    """TLS as a server speaks it; any number of servers and threads may share one.

    - ``certificate``, ``key``, ``password``: see `Certificate`;
    - ``further``: certificates for other names.  Which one a client gets is decided by the name
      that it asks for (SNI) and the names that stand in the certificates, wildcards among them;
      who asks for another name, or for none, gets the first;
    - ``client_ca``: the file of the CAs whose clients are trusted;
    - ``client_certificate``: whether a client must show a certificate (``"required"``, the default
      with a ``client_ca``), may (``"optional"``), or is not asked (``"none"``);
    - ``alpn``: protocols that are offered, the preferred first; `HttpServer` sets it if it is
      `None`;
    - ``minimum_version``: ``"1.2"`` or ``"1.3"``;
    - ``ciphers``: in OpenSSL's form, for TLS 1.2 (those of 1.3 are all good);
    - ``handshake_timeout``: seconds, after which a connection is reset.

    Raises `TlsSettingsError` for files that cannot be used.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path | None = None,
        *,
        password: str | None = None,
        further: Iterable[Certificate] = (),
        client_ca: Path | None = None,
        client_certificate: ClientCertificate | None = None,
        alpn: Sequence[str] | None = None,
        minimum_version: Version = "1.2",
        ciphers: str | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        if client_certificate is None:
            client_certificate = "required" if client_ca is not None else "none"
        if client_certificate not in _DEMANDS:
            allowed = ", ".join(_DEMANDS)
            raise TlsSettingsError(
                f"client_certificate: one of {allowed}, not {client_certificate!r}"
            )
        if client_certificate != "none" and client_ca is None:
            raise TlsSettingsError(
                f"client_certificate: to be {client_certificate} it needs a client_ca"
            )
        self._certificates = [Certificate(certificate, key, password), *further]
        self._client_ca = client_ca
        self._demand = _DEMANDS[client_certificate]
        self._minimum_version = _checked_version(minimum_version)
        self._ciphers = ciphers
        self._alpn = None if alpn is None else _checked_alpn(alpn)
        self.handshake_timeout = _checked_timeout(handshake_timeout)
        self._lock = threading.Lock()  # one reload at a time
        self._loaded = self._load()
        for text in self._loaded.expired.values():
            log.warning("%s", text)

    def __repr__(self) -> str:
        files = ", ".join(str(certificate.certificate) for certificate in self._certificates)
        return f"<ServerTls with {files}>"

    @property
    def names(self) -> list[str]:
        """The names that stand in the certificates."""
        return list(self._loaded.by_name)

    @property
    def alpn(self) -> tuple[str, ...] | None:
        """The protocols that are offered to clients."""
        return self._alpn

    def offer(self, *protocols: str) -> None:
        """Offer ``protocols`` by ALPN, the preferred first.  Before it serves."""
        self._alpn = _checked_alpn(protocols)
        for context in {self._loaded.default, *self._loaded.by_name.values()}:
            context.set_alpn_protocols(list(self._alpn))

    def reload(self) -> bool:
        """Read the files again: handshakes from now on use what is in them.  Any thread.

        Connections that are open go on as they are.  If something is wrong with the new files,
        or they have expired and the old ones had not, that is logged as an error, all goes on with
        the old ones, and the result is `False`.
        """
        with self._lock:
            try:
                loaded = self._load()
                for file, text in loaded.expired.items():
                    if file not in self._loaded.expired:
                        raise TlsSettingsError(f"certificate: {text}")
                self._loaded = loaded
            except TlsSettingsError as error:
                log.error("TLS goes on with the certificates that it has: %s", error)
                return False
        log.info("TLS certificates read again: %s", ", ".join(self.names) or "no names in them")
        return True

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> TlsObject:
        """The server's side of a handshake between two pieces of memory.  Any thread."""
        wrapped = self._loaded.default.wrap_bio(incoming, outgoing, server_side=True)
        assert isinstance(wrapped, TlsObject)
        return wrapped

    def _load(self) -> _Loaded:
        contexts = []
        by_name: dict[str, ssl.SSLContext] = {}
        expired: dict[Path, str] = {}
        for certificate in self._certificates:
            context = self._make_context(certificate)
            contexts.append(context)
            described = _describe(certificate)
            for kind, name in described.get("subjectAltName", ()):
                if kind == "DNS":
                    by_name.setdefault(name.lower(), context)
            end = described.get("notAfter")
            if end is not None and ssl.cert_time_to_seconds(end) < time.time():
                file = certificate.certificate
                expired[file] = f"{file} has expired on {end}"

        def choose(wrapped: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            assert isinstance(wrapped, TlsObject)
            if name is not None:
                wrapped.requested_name = name
                chosen = _find(by_name, name.lower())
                if chosen is not None and chosen is not contexts[0]:
                    wrapped.context = chosen

        # The first meets every client; it hands those over that ask for another's name.
        contexts[0].sni_callback = choose
        return _Loaded(contexts[0], by_name, expired)

    def _make_context(self, certificate: Certificate) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        _load_certificate(context, certificate)
        _configure(context, self._minimum_version, self._ciphers, self._alpn or ())
        context.options |= ssl.OP_NO_RENEGOTIATION  # costs a server far more than its client
        if self._client_ca is not None:
            _load_ca(context, "client_ca", self._client_ca)
        context.verify_mode = self._demand
        return context


class ClientTls:
    """TLS as a client speaks it.

    - ``ca``: the file of the CAs that are trusted; by default those of the system;
    - ``server_name``: the name that the server's certificate must have, and that it is asked for;
      by default the host of its address;
    - ``verify``: `False` accepts any certificate, and with it anybody who is in between;
    - ``certificate``, ``key``, ``password``: the client's own, see `Certificate`, for servers that
      ask for one;
    - ``alpn``, ``minimum_version``, ``ciphers``, ``handshake_timeout``: as in `ServerTls`.

    Raises `TlsSettingsError` for files that cannot be used.
    """

    def __init__(
        self,
        *,
        ca: Path | None = None,
        server_name: str | None = None,
        verify: bool = True,
        certificate: Path | None = None,
        key: Path | None = None,
        password: str | None = None,
        alpn: Sequence[str] = (),
        minimum_version: Version = "1.2",
        ciphers: str | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        if certificate is None and key is not None:
            raise TlsSettingsError(f"key: {key} needs a certificate")
        self.server_name = server_name
        self.verify = verify
        self.handshake_timeout = _checked_timeout(handshake_timeout)
        self._context = context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if ca is not None:
            _load_ca(context, "ca", ca)
        if certificate is not None:
            _load_certificate(context, Certificate(certificate, key, password))
        _configure(context, _checked_version(minimum_version), ciphers, _checked_alpn(alpn))

    def check(self, host: str) -> None:
        """Raise `TlsSettingsError` if there is no name by which ``host`` can be verified."""
        self.wrap(ssl.MemoryBIO(), ssl.MemoryBIO(), host)

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, host: str) -> TlsObject:
        """The client's side of a handshake with ``host``, between two pieces of memory."""
        name = self.server_name or host.partition("%")[0] or None
        if name is None and self.verify:
            raise TlsSettingsError("server_name: an address without a host needs one, to verify")
        try:
            wrapped = self._context.wrap_bio(incoming, outgoing, server_hostname=name)
        except ValueError as error:
            raise TlsSettingsError(f"server_name: {name!r}: {error}") from None
        assert isinstance(wrapped, TlsObject)
        wrapped.requested_name = name
        return wrapped


def _configure(
    context: ssl.SSLContext,
    minimum_version: ssl.TLSVersion,
    ciphers: str | None,
    alpn: Sequence[str],
) -> None:
    context.sslobject_class = TlsObject
    context.minimum_version = minimum_version
    if ciphers is not None:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError:
            raise TlsSettingsError(f"ciphers: {ciphers!r} names none that there is") from None
    if alpn:
        context.set_alpn_protocols(list(alpn))


def _load_certificate(context: ssl.SSLContext, certificate: Certificate) -> None:
    file = certificate.certificate
    key_file = certificate.key if certificate.key is not None else file
    option = "key" if certificate.key is not None else "certificate"
    if b"-----BEGIN CERTIFICATE-----" not in _read("certificate", file):
        raise TlsSettingsError(f"certificate: {file} holds no certificate in PEM form")
    key = _read(option, key_file)
    if b"PRIVATE KEY-----" not in key:
        raise TlsSettingsError(f"{option}: {key_file} holds no private key in PEM form")
    if b"ENCRYPTED" in key and certificate.password is None:  # OpenSSL would ask the terminal
        raise TlsSettingsError(f"{option}: {key_file} is encrypted and needs a password")
    try:
        context.load_cert_chain(file, certificate.key, certificate.password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"{key_file} is not the key of the certificate in {file}"
        elif error.reason is not None:
            problem = f"{file}: {error.reason.lower().replace('_', ' ')}"
            option = "certificate"
        elif b"ENCRYPTED" in key:
            problem = f"{key_file} cannot be read with this password"
        else:
            problem = f"{key_file} cannot be read"
        raise TlsSettingsError(f"{option}: {problem}") from None


def _load_ca(context: ssl.SSLContext, option: str, file: Path) -> None:
    _read(option, file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        reason = (error.reason or "it cannot be read").lower().replace("_", " ")
        raise TlsSettingsError(f"{option}: {file}: {reason}") from None


def _read(option: str, file: Path) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise TlsSettingsError(f"{option}: {file}: {error.strerror}") from None


def _describe(certificate: Certificate) -> dict[str, Any]:
    """What stands in ``certificate``, as `ssl.SSLSocket.getpeercert` tells it.

    The standard library decodes a certificate only when it has been verified.  So a client in
    memory that trusts this very certificate is shown it.
    """
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load_certificate(server, certificate)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate.certificate)
    client.verify_flags = ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    showing = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (asking, showing, asking):  # hello; the certificate; verified
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLError as error:
        log.warning("%s is not good for a server: %s", certificate.certificate, reason_of(error))
    return asking.getpeercert() or {}


def _find(by_name: dict[str, ssl.SSLContext], name: str) -> ssl.SSLContext | None:
    """Who is good for ``name``: a wildcard stands for the first label (RFC 9525, section 6.3)."""
    found = by_name.get(name)
    if found is None:
        found = by_name.get("*." + name.partition(".")[2])
    return found


def reason_of(error: ssl.SSLError) -> str:
    """What ``error`` says, without OpenSSL's trimmings."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else error.strerror or str(error)


def _checked_version(version: str) -> ssl.TLSVersion:
    if version not in _VERSIONS:
        raise TlsSettingsError(f"minimum_version: one of {', '.join(_VERSIONS)}, not {version!r}")
    return _VERSIONS[version]


def _checked_alpn(protocols: Sequence[str]) -> tuple[str, ...]:
    if isinstance(protocols, str):
        raise TlsSettingsError(f"alpn: a list of protocols, not the text {protocols!r}")
    for protocol in protocols:
        if not (protocol.isascii() and 0 < len(protocol) < 256):
            raise TlsSettingsError(f"alpn: {protocol!r} is no name of a protocol")
    return tuple(protocols)


def _checked_timeout(seconds: float) -> float:
    if not seconds > 0:
        raise TlsSettingsError(f"handshake_timeout: more than 0 seconds, not {seconds}")
    return seconds
