"""The list of finished tiles: what a crash may do to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.run.journal import Journal, format_line, parse_line, read_journal

keys = st.tuples(*[st.integers(0, 10**6)] * 3)
checksums = st.lists(st.none() | st.integers(0, 2**32 - 1), min_size=1, max_size=4).map(tuple)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    for tile in range(3):
        journal.append((0, 1, tile), [tile, None])
    journal.close()
    journal.close()
    return path


ENTRIES = {(0, 1, tile): (tile, None) for tile in range(3)}


@given(keys, checksums)
def test_a_line_says_what_was_put_into_it(key, found):
    line = format_line(key, found)
    assert line.endswith(b"\n")
    assert parse_line(line[:-1]) == (key, found)


@given(keys, checksums, st.data())
def test_a_damaged_line_is_no_line(key, found, data):
    line = bytearray(format_line(key, found)[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert parse_line(bytes(line)) is None


def test_what_was_appended_is_read_again(path):
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_journal(path) == (ENTRIES, path.stat().st_size)
    journal = Journal(path)
    assert journal.entries == ENTRIES
    journal.append((0, 1, 1), [7, 8])
    journal.sync()
    journal.close()
    assert read_journal(path)[0] == {**ENTRIES, (0, 1, 1): (7, 8)}


def test_no_file_is_an_empty_list(tmp_path):
    assert read_journal(tmp_path / "journal") == ({}, 0)


@pytest.mark.parametrize("left", range(1, 24))
def test_a_torn_last_line_is_ignored_and_written_again(path, left):
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert left < len(lines[2])
    path.write_bytes(lines[0] + lines[1] + lines[2][:left])
    journal = Journal(path)
    assert journal.entries == {key: ENTRIES[key] for key in list(ENTRIES)[:2]}
    journal.append((0, 1, 2), [2, None])
    journal.close()
    assert path.read_bytes() == whole


def test_a_page_of_zeros_costs_its_lines_alone(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + bytes(len(lines[1]) - 1) + b"\n" + lines[2])
    assert list(read_journal(path)[0]) == [(0, 1, 0), (0, 1, 2)]
