"""What checking a column of codes costs: a million of every scheme, against the plainest loop there is.

The loop matches the scheme's regular expression, and where the scheme has a check character calls python-stdnum's
check: what most programs do, and without any other rule.

Run: python -m benchmarks.codes [codes]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

from stdnum.iso7064 import mod_11_2, mod_37_2

from benchmarks._measure import machine, measure, report
from cim import codes
from cim.codes import CodeScheme, cn_jgjt246, jp_spatialid, olc, provisional

CODES = 1_000_000
ROUNDS = 3
CHECKS: dict[str, Callable[[str], object]] = {
    "cn-jgjt246": lambda code: mod_11_2.checksum(code.replace("*", "X")) == 1,
    "provisional": lambda code: mod_37_2.checksum(code) == 1,
}


def sample(scheme: CodeScheme, number: int) -> list[str]:
    """Good codes of a scheme, all different where it has so many; one in a thousand refused."""
    chance = random.Random(7)
    below = chance.randrange
    make: dict[str, Callable[[int], str]] = {
        "cn-bdcdyh": lambda i: (
            f"34012{below(10)}{1 + below(999):03d}{1 + below(999):03d}GB{1 + i % 99999:05d}F{1 + i % 9998:04d}0000"
        ),
        "cn-jgjt246": lambda i: _checked(f"3205080{below(100):02d}{1950 + i % 70}{i % 10000:04d}{below(100000):05d}"),
        "cn-component16": lambda i: f"3205080101{i % 1_000_000:06d}",
        "cn-div6": lambda i: f"{11 + i % 80}{below(100):02d}{below(100):02d}",
        "cn-div12": lambda i: f"{11 + i % 80}{below(10**10):010d}",
        "olc": lambda i: olc.of(below(160) - 80 + i / number, below(340) - 170 + chance.random()),
        "ubid": lambda i: f"849VQJH6+95J-{i % 97}-{below(90)}-{below(90)}-{below(90)}",
        "nl-bag": lambda i: f"036310{i:010d}",
        "gb-uprn": lambda _: str(1 + below(10**12 - 1)),
        "ch-egid": lambda _: str(1 + below(10**9 - 1)),
        "jp-fudosan": lambda i: f"{below(10**13):013d}-{i % 10000:04d}",
        "jp-plateau": lambda i: f"{below(10**5):05d}-bldg-{i}",
        "jp-spatialid": lambda _: jp_spatialid.of(below(360) - 180 + chance.random(), below(80), below(1000), 25),
    }
    if scheme.name == "provisional":
        found = provisional.mint_many("building", "bench", [str(i) for i in range(number)])
    else:
        found = [make[scheme.name](i) for i in range(number)]
    found[::1000] = ["?"] * len(found[::1000])
    return found


def _checked(body: str) -> str:
    return body + cn_jgjt246.check_character(body)


def loop(scheme: CodeScheme, values: list[str]) -> list[bool]:
    matches, check = scheme.layout.pattern.fullmatch, CHECKS.get(scheme.name)
    if check is None:
        return [matches(value) is not None for value in values]
    return [matches(value) is not None and bool(check(value)) for value in values]


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else CODES
    print(f"{machine()}, {number:,} codes, one in a thousand refused")
    for scheme in codes.schemes().values():
        if scheme.reserved is not None:
            continue
        values = sample(scheme, number)
        refused = len(scheme.check_many(values)[1])
        assert refused == len(values[::1000]), (scheme.name, refused)
        contestants: dict[str, Callable[[], object]] = {
            "plain loop": lambda s=scheme, v=values: loop(s, v),
            "check_many": lambda s=scheme, v=values: s.check_many(v),
        }
        report(scheme.name, measure(contestants, rounds=ROUNDS), number, "codes", "plain loop")


if __name__ == "__main__":
    main()
