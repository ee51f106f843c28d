"""Damages files at random, by a seed, and counts what reading makes of it.

    python -m tests.hostile.campaign [--count 2000] [--seed 1] [KIND ...]    a table, each kind in a process of its own
    python -m tests.hostile.campaign --seconds 60 [--seed 1]                 all kinds in turn until the time is up

Damaged content may read as it was (harmless), raise a `VolconvError` (refused), or read as something else (wrong):
that is unavoidable where a format has no checksum. Anything else that comes out is a fault (escaped).
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.hostile.carriers import CARRIERS, SECRET
from volconv.error_codes import ERROR_CODES
from volconv.errors import VolconvError

NEAR_AN_END = 1024
LONGEST_MESSAGE = 2000
LONGEST_SECONDS = 60


@dataclass
class Tally:
    """What came of the mutations of one kind of file."""

    kind: str
    mutations: int = 0
    wrong: int = 0
    escaped: int = 0
    refused: int = 0
    harmless: int = 0
    seconds: float = 0.0
    mebibytes: float = 0.0
    faults: list[str] = field(default_factory=list)


def mutate(chance: random.Random, content: bytes) -> bytes:
    """Return `content` damaged in one to four places, and different from it."""
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        damage(chance, out)
    return bytes(out) if bytes(out) != content else mutate(chance, content)


def damage(chance: random.Random, out: bytearray) -> None:
    """Flip a bit, change a byte, cut the end off, insert, zero, or swap two blocks."""
    at = place(chance, len(out))
    length = chance.choice((1, 2, 4, 8, 16, chance.randrange(1, 200)))
    match chance.randrange(6):
        case 0:
            out[at : at + 1] = bytes(b ^ 1 << chance.randrange(8) for b in out[at : at + 1])
        case 1:
            out[at : at + 1] = bytes([chance.choice((0, 255, 127, 128, chance.randrange(256)))])
        case 2:
            del out[at if chance.random() < 0.5 else max(0, len(out) - length) :]
        case 3:
            out[at:at] = chance.choice((chance.randbytes(length), bytes(length), bytes(out[at : at + length])))
        case 4:
            out[at : at + length] = bytes(len(out[at : at + length]))
        case 5:
            other = place(chance, len(out))
            low, high = min(at, other), max(at, other)
            size = min(length, high - low, len(out) - high)
            one, two = bytes(out[low : low + size]), bytes(out[high : high + size])
            out[low : low + size], out[high : high + size] = two, one


def place(chance: random.Random, length: int) -> int:
    """Return a place in a file: anywhere, or near its beginning or end, where headers and directories are."""
    near = chance.randrange(min(NEAR_AN_END, length) or 1)
    return chance.choice((chance.randrange(length or 1), near, max(0, length - 1 - near)))


class Attack:
    """Damages one kind of file again and again."""

    def __init__(self, kind: str, folder: Path, seed: int) -> None:
        self.carrier = CARRIERS[kind]
        self.tally = Tally(kind)
        self.chance = random.Random(f"{seed} {kind}")
        good = folder / f"good{self.carrier.suffix}"
        self.carrier.make(good)
        self.content = good.read_bytes()
        good.unlink()
        self.path = folder / f"bad{self.carrier.suffix}"
        self.path.write_bytes(self.content)
        self.wanted = repr(self.carrier.read(self.path))

    def go_on(self, count: int) -> Tally:
        """Try `count` mutations more."""
        for _ in range(count):
            content = mutate(self.chance, self.content)
            self.path.write_bytes(content)
            started = time.perf_counter()
            # a library may never come back; the damaged file is left behind then
            faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
            self.judge(content)
            faulthandler.cancel_dump_traceback_later()
            self.tally.seconds = max(self.tally.seconds, time.perf_counter() - started)
        return self.tally

    def judge(self, content: bytes) -> None:
        """Read the damaged file and count what comes of it."""
        tally = self.tally
        tally.mutations += 1
        try:
            found = repr(self.carrier.read(self.path))
        except VolconvError as error:
            tally.refused += 1
            if fault := fault_of(error):
                self.note(content, f"{fault}: {error!s:.300}")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            tally.escaped += 1
            self.note(content, f"{type(error).__name__}: {error!s:.300}")
        else:
            if found == self.wanted:
                tally.harmless += 1
            else:
                tally.wrong += 1
                if self.carrier.sealed:
                    self.note(content, "read wrong in silence")

    def note(self, content: bytes, fault: str) -> None:
        """Keep a fault, and the first file that shows it for whoever mends it."""
        if len(self.tally.faults) < 20:
            kept = Path(tempfile.gettempdir()) / f"mutation-{self.tally.mutations}{self.carrier.suffix}"
            kept.write_bytes(content)
            self.tally.faults.append(f"{fault} ({kept})")


def fault_of(error: VolconvError) -> str:
    """Return what is wrong with an error of a damaged file, or nothing."""
    line = str(error)
    if not line.isprintable() or len(line) > LONGEST_MESSAGE:
        return "a message of several lines, of control characters, or without end"
    if SECRET[:8] in line:
        return "a message that holds the header's text"
    if error.exit_code not in (3, 4) or ERROR_CODES[error.code].exit_code != error.exit_code:
        return f"exit status {error.exit_code} and code {error.code}"
    return ""


def run_kind(kind: str, count: int, seed: int) -> Tally:
    """Return what `count` mutations of a kind come to; the memory is what the process needed beyond the good file."""
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        attack = Attack(kind, Path(folder), seed)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tally = attack.go_on(count)
    tally.mebibytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return tally


def run_apart(kind: str, count: int, seed: int) -> Tally:
    """Return the same from a process of its own: a library that crashes counts as escaped."""
    command = [sys.executable, "-m", "tests.hostile.campaign", "--apart", "--count", str(count), "--seed", str(seed)]
    done = subprocess.run([*command, kind], capture_output=True, text=True, check=False)
    if done.returncode:
        return Tally(kind, count, escaped=1, faults=[f"status {done.returncode}: {done.stderr[-300:]}"])
    return Tally(**json.loads(done.stdout))


def run_for(seconds: float, seed: int) -> list[Tally]:
    """Damage files of all kinds in turn until the time is up."""
    warnings.simplefilter("error")
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        attacks = []
        for number, kind in enumerate(CARRIERS):
            own = Path(folder, str(number))
            own.mkdir()
            attacks.append(Attack(kind, own, seed))
        while time.monotonic() < end:
            for attack in attacks:
                attack.go_on(5)
    return [attack.tally for attack in attacks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(CARRIERS))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.apart:
        print(json.dumps(asdict(run_kind(wanted.kinds[0], wanted.count, wanted.seed))))
        return
    if wanted.seconds:
        tallies = run_for(wanted.seconds, wanted.seed)
    else:
        tallies = [run_apart(kind, wanted.count, wanted.seed) for kind in wanted.kinds or CARRIERS]
    print(f"seed {wanted.seed}\n\n| kind | mutations | wrong | escaped | refused | harmless | worst s | MiB more |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for t in tallies:
        counts = f"{t.mutations} | {t.wrong} | {t.escaped} | {t.refused} | {t.harmless}"
        print(f"| {t.kind} | {counts} | {t.seconds:.3f} | {t.mebibytes:.1f} |")
    faults = [f"{t.kind}: {fault}" for t in tallies for fault in t.faults]
    print("\n".join(["", *faults]))
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
