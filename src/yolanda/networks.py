"""A set of addresses, written as networks: who is trusted, for one thing or another."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yolanda.address import Address

_REMEMBERED = 1024  # hosts that were looked for


class Networks:
    """Addresses and networks such as ``10.0.0.0/8``; ``*`` for all, ``unix`` for local sockets.

    ``address in networks`` tells whether it is one of them; `None`, somebody unknown, is only in
    ``*``.  It may be shared by threads.  Raises `ValueError` for a text that is no network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        self._all = self._local = False
        self._texts = [networks] if isinstance(networks, str) else list(networks)
        for text in self._texts:
            if text == "*":
                self._all = True
            elif text.removesuffix(":") == "unix":
                self._local = True
            else:
                try:
                    self._networks.append(ip_network(text, strict=False))
                except ValueError:
                    raise ValueError(
                        f"{text!r} is no network; they are written 10.0.0.0/8, 127.0.0.1, "
                        "'unix' for local sockets, or '*' for all"
                    ) from None
        self._known: dict[str, bool] = {}

    @classmethod
    def parse(cls, text: str) -> "Networks":
        """Read a list with commas, such as ``127.0.0.1,10.0.0.0/8,unix``; empty: nobody."""
        return cls(cls.split(text))

    @staticmethod
    def split(text: str) -> list[str]:
        """The items of a list with commas."""
        return [part for part in (item.strip() for item in text.split(",")) if part]

    def __repr__(self) -> str:
        return f"<Networks {', '.join(self._texts)}>"

    def __contains__(self, address: Address | None) -> bool:
        if self._all:
            return True
        if address is None:
            return False
        if address.is_local:
            return self._local
        known = self._known.get(address.host)
        if known is None:
            known = self._look_for(address.host.partition("%")[0])
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[address.host] = known
        return known

    def _look_for(self, host: str) -> bool:
        try:
            ip = ip_address(host)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks)
