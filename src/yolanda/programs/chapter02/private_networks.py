"""Split an address into network and host, and say what the block is for.

Chapter 2.  Without an argument, the blocks that are kept for private use and the old classes of
networks.  With one, watch the netmask: the bits of the address under its ones are the network,
those under its zeros the host, and two to the power of their number is the size of the block.

\b
    $ yolanda run private-networks
    $ yolanda run private-networks 192.0.2.12/30 192.0.2.12/255.255.255.0
    $ yolanda run private-networks 172.16.0.0/12
    $ yolanda run private-networks fe80::1/64
"""

import ipaddress

import click

from yolanda.programs.blocking import run_program

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE = [
    ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
]

# Of a class: how its addresses begin, and how long the network's part is (RFC 791; D and E: RFC
# 1112).  Classes are history since 1993, when CIDR let a network have any size (RFC 1519).
CLASSES = {
    "A": (ipaddress.IPv4Network("0.0.0.0/1"), 8),
    "B": (ipaddress.IPv4Network("128.0.0.0/2"), 16),
    "C": (ipaddress.IPv4Network("192.0.0.0/3"), 24),
    "D": (ipaddress.IPv4Network("224.0.0.0/4"), 32),
    "E": (ipaddress.IPv4Network("240.0.0.0/4"), 32),
}

# What blocks are for, if not for hosts of the Internet: RFC 6890 and IANA's registries after it.
PURPOSES: dict[Network, str] = {
    ipaddress.ip_network(block): purpose
    for block, purpose in {
        "0.0.0.0/8": "this network; 0.0.0.0 is the wildcard (RFC 1122)",
        "10.0.0.0/8": "private (RFC 1918)",
        "100.64.0.0/10": "shared by a provider's customers (RFC 6598)",
        "127.0.0.0/8": "loopback (RFC 1122)",
        "169.254.0.0/16": "link-local (RFC 3927)",
        "172.16.0.0/12": "private (RFC 1918)",
        "192.0.2.0/24": "documentation (RFC 5737)",
        "192.168.0.0/16": "private (RFC 1918)",
        "198.18.0.0/15": "benchmarks of networks (RFC 2544)",
        "198.51.100.0/24": "documentation (RFC 5737)",
        "203.0.113.0/24": "documentation (RFC 5737)",
        "224.0.0.0/4": "multicast (RFC 1112)",
        "240.0.0.0/4": "reserved (RFC 1112)",
        "255.255.255.255/32": "broadcast on this link (RFC 919)",
        "::/128": "the wildcard (RFC 4291)",
        "::1/128": "loopback (RFC 4291)",
        "::ffff:0:0/96": "IPv4 addresses in IPv6 sockets (RFC 4291)",
        "64:ff9b::/96": "IPv4 addresses behind a translator (RFC 6052)",
        "2001:db8::/32": "documentation (RFC 3849)",
        "fc00::/7": "private: unique local (RFC 4193)",
        "fe80::/10": "link-local (RFC 4291)",
        "ff00::/8": "multicast (RFC 4291)",
    }.items()
}

# Where a host's own part of an IPv6 address has 64 bits (RFC 4291, section 2.5.4).
HOSTS_OF_64_BITS = [ipaddress.IPv6Network(block) for block in ("2000::/3", "fc00::/7", "fe80::/10")]


@click.command("private-networks", help=__doc__)
@click.argument("blocks", nargs=-1, metavar="[ADDRESS[/PREFIX|/NETMASK]]...")
def main(blocks: tuple[str, ...]) -> None:
    """Print the tables, or what each block is."""
    if not blocks:
        show_tables()
    for number, (block, interface) in enumerate([(block, parse(block)) for block in blocks]):
        if number:
            print()
        prefix = interface.network.prefixlen
        print(block if "/" in block else f"{block} (no prefix is given: /{prefix} is taken)")
        show(interface)


def parse(text: str) -> Interface:
    """Read an address and, behind a slash, how much of it is the network's.

    Without a slash an IPv4 address has the netmask of its class, as it did before there were
    others, and an IPv6 address that a host may have the 64 bits that are usual there.
    """
    _, slash, mask = text.partition("/")
    try:
        if ":" in text:
            given = ipaddress.IPv6Interface(text)
            prefix = given.network.prefixlen
            if not slash and any(given.ip in block for block in HOSTS_OF_64_BITS):
                prefix = 64
            return ipaddress.IPv6Interface((given.ip, prefix))  # without the scope, as in %eth0
        interface = ipaddress.IPv4Interface(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="ADDRESS") from error
    if not slash:
        _, prefix = CLASSES[class_of(interface.ip)]
        return ipaddress.IPv4Interface((interface.ip, prefix))
    if "." in mask and str(interface.netmask) != mask:  # ipaddress takes 0.0.0.255 for a /24
        raise click.BadParameter(
            f"{text!r}: a netmask is ones and then zeros, and {mask} is not",
            param_hint="ADDRESS",
        )
    return interface


def class_of(address: ipaddress.IPv4Address) -> str:
    """Return the class of an address, which its first bits tell."""
    return next(name for name, (block, _) in CLASSES.items() if address in block)


def show_tables() -> None:
    """Print the private blocks, and the classes, in which the course counts them."""
    print("Kept for private use (RFC 1918):")
    for block in PRIVATE:
        print(f"  {block!s:15} {block.num_addresses:>9} addresses: {in_classes(block)}")
    print("\nThe classes of networks (RFC 791), which nobody has asked about since 1993 (CIDR):")
    for name, (block, prefix) in CLASSES.items():
        first, last = block[0].packed[0], block[-1].packed[0]
        bits = f"{first:08b}"[: block.prefixlen]
        text = f"  {name}  begins with {bits:4}  {first:3} to {last:3}  "
        if prefix < 32:
            hosts = 2 ** (32 - prefix)
            print(f"{text}{prefix:2} bits of network, {hosts:>8} addresses in each")
        else:
            print(f"{text}{purposes(block)[0]}")


def show(interface: Interface) -> None:
    """Print the parts of an address, and what its block is."""
    network, address = interface.network, interface.ip
    host = int(address) & int(network.hostmask)
    host_bits = network.max_prefixlen - network.prefixlen
    rows = [
        ("address", bits(address)),
        ("netmask", bits(network.netmask)),
        ("network part", f"{network.network_address} (bits: {network.prefixlen})"),
        ("host part", f"{type(address)(host)} (bits: {host_bits})"),
        ("addresses", f"{network.num_addresses}, {network[0]} to {network[-1]}"),
        ("for hosts", hosts(network)),
    ]
    if isinstance(network, ipaddress.IPv4Network):
        rows.append(("class", in_classes(network)))
    rows += [("purpose", purpose) for purpose in purposes(network)]
    for name, text in rows:
        print(f"  {name:13} {text}")


def bits(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Write an address as people do and, if that has an end, bit by bit."""
    if isinstance(address, ipaddress.IPv6Address):
        return f"{address}"
    return f"{address!s:15}  {'.'.join(f'{byte:08b}' for byte in address.packed)}"


def hosts(network: Network) -> str:
    """Say how many addresses are for hosts, and which."""
    if network.is_multicast:
        return "none: a multicast address names a group"
    first, last = network[0], network[-1]
    if isinstance(network, ipaddress.IPv4Network) and network.prefixlen < 31:
        # The first is the network's name, the last its broadcast.  A link of two needs neither.
        first, last = network[1], network[-2]
    count = int(last) - int(first) + 1
    return f"{count}, {first} to {last}" if count > 1 else f"1, {first}"


def in_classes(network: ipaddress.IPv4Network) -> str:
    """Say how the block would have been called when networks had classes."""
    name, last = class_of(network[0]), class_of(network[-1])
    _, prefix = CLASSES[name]
    if name != last:
        return f"from {name} to {last}"
    if prefix == 32:
        return name
    if network.prefixlen > prefix:
        return f"a part of the class {name} network {network.supernet(new_prefix=prefix)}"
    count = 2 ** (prefix - network.prefixlen)
    if count == 1:
        return f"a class {name} network"
    final = network[-(2 ** (32 - prefix))]
    return f"{count} class {name} networks, {network[0]}/{prefix} to {final}/{prefix}"


def purposes(network: Network) -> list[str]:
    """Say what the block is kept for, or which parts of it are."""
    found = []
    for block, purpose in PURPOSES.items():
        if contains(block, network):
            found.append(purpose)
        elif contains(network, block):
            found.append(f"in a part of it, {block}: {purpose}")
    return found or ["none of its own: public"]


def contains(outer: Network, inner: Network) -> bool:
    """Whether every address of ``inner`` is one of ``outer``."""
    if outer.version != inner.version or outer.prefixlen > inner.prefixlen:
        return False
    return inner.network_address in outer


if __name__ == "__main__":
    run_program(main)
