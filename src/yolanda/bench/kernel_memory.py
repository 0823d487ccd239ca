"""What the kernel keeps for connections, and for the threads that serve them.

It is in no process's account, so all there is before is compared with all there is after: what its
allocator of small objects holds (the socket, its inode and file, epoll's entry), the buffers of
TCP, the stacks of threads, page tables.  The other end of a connection on this machine is in it
too.  (Man 5 proc: ``meminfo``, ``slabinfo``; the kernel's ``proc.rst``: ``sockstat``.)
"""

import os
from pathlib import Path

KINDS = ("TCP", "sock_inode_cache", "dentry", "filp", "eventpoll_epi")
"""What the allocator calls the objects of a connected socket that epoll watches."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def total() -> int:
    """Return the bytes of all that a kernel keeps for connections and threads, and much else."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return sizes["Slab"] + sizes["KernelStack"] + sizes["PageTables"] + buffers()


def buffers() -> int:
    """Return the bytes of TCP's buffers: what was sent and not read yet, and room set aside."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            return int(words[words.index("mem") + 1]) * _PAGE
    return 0


def objects() -> dict[str, int]:
    """Return the bytes of each kind of object of a socket; nothing where only root may know."""
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    except OSError:
        return {}
    # name <active_objs> <num_objs> <objsize> ...
    rows = [line.split() for line in lines]
    return {row[0]: int(row[1]) * int(row[3]) for row in rows if row[0] in KINDS}
