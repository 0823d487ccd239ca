"""Draws the photo.png of chapter 34, the picture that the HTTP example serves at /photo.

A reactor as the course describes it: a loop that turns, and the connections around it, three of
which have something to say.  Nothing but the standard library is needed::

    python tools/draw_photo.py src/yolanda/programs/chapter34/photo.png
"""

import math
import struct
import sys
import zlib

WIDTH, HEIGHT, SAMPLES = 480, 320, 3
CENTRE = (240.0, 160.0)
RING, BAND = 74.0, 9.0
ORBIT, DOT = 128.0, 11.0
SKY, GROUND = (16, 24, 48), (38, 60, 104)
AMBER, MINT, CORAL, PALE = (255, 190, 92), (112, 226, 190), (255, 122, 112), (150, 170, 214)
Colour = tuple[float, float, float]
CHANNELS = 12
ACTIVE = {1: MINT, 5: AMBER, 8: CORAL}


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """The colour that is ``share`` of the way from ``a`` to ``b``."""
    share = max(0.0, min(1.0, share))
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def channel_at(index: int) -> tuple[float, float]:
    """Where the channel ``index`` stands."""
    angle = 2 * math.pi * index / CHANNELS - math.pi / 2
    return CENTRE[0] + 1.32 * ORBIT * math.cos(angle), CENTRE[1] + ORBIT * math.sin(angle) * 0.98


def colour_at(x: float, y: float) -> Colour:
    """The colour of one point."""
    dx, dy = x - CENTRE[0], y - CENTRE[1]
    distance = math.hypot(dx, dy)
    colour = mix(SKY, GROUND, y / HEIGHT)
    colour = mix(colour, (74, 110, 180), 0.35 * math.exp(-((distance / 150) ** 2)))
    for index in range(CHANNELS):
        cx, cy = channel_at(index)
        active = ACTIVE.get(index)
        # The wire from the ring to the channel, bright where an event runs along it.
        length = math.hypot(cx - CENTRE[0], cy - CENTRE[1])
        ux, uy = (cx - CENTRE[0]) / length, (cy - CENTRE[1]) / length
        along, across = dx * ux + dy * uy, abs(dx * uy - dy * ux)
        if RING < along < length and across < (2.2 if active else 1.0):
            glow = 0.9 if active else 0.28
            colour = mix(colour, active or PALE, glow * (0.35 + 0.65 * along / length))
        far = math.hypot(x - cx, y - cy)
        if active:
            colour = mix(colour, active, 0.55 * math.exp(-((far / 20) ** 2)))
        if far < DOT:
            colour = mix(active or PALE, (255, 255, 255), 0.35 - 0.03 * far)
            if not active:
                colour = mix(colour, SKY, 0.45)
    if abs(distance - RING) < BAND:
        turn = (math.atan2(dy, dx) / (2 * math.pi) + 0.36) % 1.0
        colour = mix(mix(CORAL, AMBER, turn * 1.6), (255, 240, 206), max(0.0, turn - 0.55) * 1.5)
        if turn < 0.035:
            colour = mix(SKY, GROUND, 0.5)
    # The arrow head: the loop never stops.
    tip = -0.36 * 2 * math.pi
    ax, ay = CENTRE[0] + RING * math.cos(tip), CENTRE[1] + RING * math.sin(tip)
    tx, ty = -math.sin(tip), math.cos(tip)
    forward, sideways = (x - ax) * tx + (y - ay) * ty, abs((x - ax) * ty - (y - ay) * tx)
    if -9 < forward < 17 and sideways < (17 - forward) * 0.85:
        colour = (255, 240, 206)
    return colour


def pixel(column: int, row: int) -> bytes:
    """One pixel, from several points of it."""
    total = [0.0, 0.0, 0.0]
    for i in range(SAMPLES):
        for j in range(SAMPLES):
            point = colour_at(column + (i + 0.5) / SAMPLES, row + (j + 0.5) / SAMPLES)
            for part in range(3):
                total[part] += point[part]
    return bytes(round(part / SAMPLES**2) for part in total)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def main(path: str) -> None:
    """Draw the picture into ``path``."""
    rows = []
    for row in range(HEIGHT):
        line = b"".join(pixel(column, row) for column in range(WIDTH))
        before = bytes(3) + line[:-3]
        rows.append(b"\1" + bytes((a - b) % 256 for a, b in zip(line, before, strict=True)))
    header = struct.pack("!IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
        file.write(chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    main(sys.argv[1])
