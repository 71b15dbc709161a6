"""The documented bit layout of the noise in plain Python integers and `math`: a second witness."""

import math

MASK = 0xFFFFFFFF


def philox_block(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def words(seed: int, purpose: int, step: int, id_: int, count: int) -> list[int]:
    out: list[int] = []
    for block in range((count + 3) // 4):
        out += philox_block((block, step, id_ & MASK, id_ >> 32), (seed, purpose))
    return out


def uniforms(seed: int, purpose: int, step: int, id_: int, count: int) -> list[float]:
    return [(w + 0.5) / 2**32 for w in words(seed, purpose, step, id_, count)][:count]


def normals(seed: int, purpose: int, step: int, id_: int, count: int) -> list[float]:
    u = [(w + 0.5) / 2**32 for w in words(seed, purpose, step, id_, count)]
    out: list[float] = []
    for a, b in zip(u[0::2], u[1::2], strict=True):
        radius = math.sqrt(-2.0 * math.log(a))
        out += [radius * math.cos(2 * math.pi * b), radius * math.sin(2 * math.pi * b)]
    return out[:count]
