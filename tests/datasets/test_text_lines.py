"""Lines and rows of text files come with their numbers; what is no text is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from job.datasets.text_lines import MAX_LINE_BYTES, lines, rows
from job.errors import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "texts"


def test_lines_come_with_their_numbers_and_without_their_ends(path: Path) -> None:
    """Of Unix and of Windows, with a byte order mark, the last one without an end."""
    path.write_bytes("\ufeffeins\r\n\n zwei \u2028\x85drei\nvier".encode())
    assert list(lines(path)) == [(1, "eins"), (2, ""), (3, " zwei \u2028\x85drei"), (4, "vier")]
    path.write_bytes(b"")
    assert list(lines(path)) == []


def test_rows_come_with_the_number_of_their_first_line(path: Path) -> None:
    """A quoted cell may hold line breaks, delimiters and quotes."""
    path.write_bytes('\ufeffa;b\r\n"x\ny";"p;""q"""\r\nz;\r\n'.encode())
    assert list(rows(path, ";")) == [
        (1, ["a", "b"]),
        (2, ["x\ny", 'p;"q"']),
        (4, ["z", ""]),
    ]


def test_a_line_that_is_not_utf8_is_named(path: Path) -> None:
    """With its file, its number and the byte."""
    path.write_bytes("gut\nschön\n".encode("latin1"))
    for read in (lines(path), rows(path, ",")):
        with pytest.raises(InputError) as caught:
            list(read)
        assert caught.value.where == f"{path}, line 2"
        assert "at byte 4" in caught.value.what


def test_a_long_line_is_refused_before_it_is_read_whole(path: Path) -> None:
    """64 MB without a line break; the longest line that is allowed is read."""
    path.write_bytes(b"first\n" + b"x" * (1 << 26))
    for read in (lines(path), rows(path, ",")):
        tracemalloc.start()
        try:
            with pytest.raises(InputError) as caught:
                list(read)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert caught.value.where == f"{path}, line 2"
        assert peak < 8 * MAX_LINE_BYTES
    path.write_bytes(b"y" * (MAX_LINE_BYTES - 1) + b"\n")
    assert [len(text) for _, text in lines(path)] == [MAX_LINE_BYTES - 1]
    assert [len(cells[0]) for _, cells in rows(path, ",")] == [MAX_LINE_BYTES - 1]


@pytest.mark.parametrize("line", [b"abc\n", b'","a\n'], ids=["one cell", "many cells"])
def test_a_quote_that_is_not_closed_does_not_take_the_whole_file(line: bytes, path: Path) -> None:
    """A row is bounded as a line is."""
    path.write_bytes(b'text\n"' + line * (1 << 20))
    with pytest.raises(InputError) as caught:
        list(rows(path, ","))
    assert "1,048,576 bytes" in caught.value.what
    assert "quote" in caught.value.hint


@pytest.mark.parametrize("content", [b'a,b\n"x"y,z\n', b'a,b\nx,"y', b"a,b\nx,y\rz,w\n"])
def test_wrong_quotes_and_line_ends_are_refused(content: bytes, path: Path) -> None:
    """Text after a quote, a quote that is never closed, a line end that is none."""
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(rows(path, ","))
    assert caught.value.where == f"{path}, line 2"


def test_a_line_end_of_cr_alone_is_named(path: Path) -> None:
    """Other than a wrong quote."""
    path.write_bytes(b"q,z\ra b,0\ra b,1\r")
    with pytest.raises(InputError, match=r"carriage return \(CR\)") as caught:
        list(rows(path, ","))
    assert "tr '\\r' '\\n'" in caught.value.hint


def test_empty_lines_are_no_rows(path: Path) -> None:
    """Before the header, between rows and at the end; a row of an empty cell is one."""
    path.write_bytes(b'\nq\n\r\na b\n""\n\n\n')
    assert list(rows(path, ",")) == [(2, ["q"]), (4, ["a b"]), (5, [""])]
