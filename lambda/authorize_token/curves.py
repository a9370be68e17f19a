"""Arithmetic on the curves P-256 and P-384, as far as a signature is verified by it: no secret is involved.

Points are added by one formula that is right for all of them: equal ones, opposite ones and the neutral one too (Renes,
Costello and Batina, "Complete addition formulas for prime order elliptic curves", EUROCRYPT 2016, section 3). So there
is no special case that could be missed.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[int, int, int]
"""Projective: ``(x, y, 1)`` or any multiple of it; the neutral one is ``(0, 1, 0)``."""

NEUTRAL: Point = (0, 1, 0)


@dataclass(frozen=True)
class Curve:
    """A curve ``y² = x³ - 3x + b`` over a prime field, all of whose points are multiples of the generator.

    Attributes:
        prime, b, order: Of the field; of the equation; how many points there are.
        generator: The point that all are multiples of.
    """

    prime: int
    b: int
    order: int
    generator: Point

    @property
    def size(self) -> int:
        """Bytes of a coordinate, and of a number below the order."""
        return (self.prime.bit_length() + 7) // 8

    def has(self, x: int, y: int) -> bool:
        """Tell whether there is such a point; the neutral one, which has no coordinates, is none."""
        return max(x, y) < self.prime and (y * y - (x * x * x - 3 * x + self.b)) % self.prime == 0

    def add(self, one: Point, other: Point) -> Point:
        """Add two points."""
        (x1, y1, z1), (x2, y2, z2) = one, other
        p, a, b = self.prime, -3, self.b
        xx, yy, zz = x1 * x2 % p, y1 * y2 % p, z1 * z2 % p
        xy, xz, yz = (x1 * y2 + x2 * y1) % p, (x1 * z2 + x2 * z1) % p, (y1 * z2 + y2 * z1) % p
        middle = (a * xz + 3 * b * zz) % p
        left, right = yy - middle, yy + middle
        slope, rest = 3 * xx + a * zz, a * xx + 3 * b * xz - a * a * zz
        return (xy * left - yz * rest) % p, (slope * rest + right * left) % p, (yz * right + xy * slope) % p

    def combined(self, times: int, others: int, other: Point) -> Point:
        """Give ``times`` the generator plus ``others`` times another point, both bit by bit together."""
        table = (NEUTRAL, self.generator, other, self.add(self.generator, other))
        found = NEUTRAL
        for bit in reversed(range(self.order.bit_length())):
            found = self.add(found, found)
            found = self.add(found, table[(times >> bit & 1) + 2 * (others >> bit & 1)])
        return found


P256 = Curve(
    prime=2**256 - 2**224 + 2**192 + 2**96 - 1,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    order=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    generator=(
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
        1,
    ),
)
"""NIST SP 800-186, 3.2.1.3."""

P384 = Curve(
    prime=2**384 - 2**128 - 2**96 + 2**32 - 1,
    b=0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    order=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    generator=(
        0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
        0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
        1,
    ),
)
"""NIST SP 800-186, 3.2.1.4."""
