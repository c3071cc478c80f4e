"""Faults that people met in practice with logs in blocks, as inputs of our own: none of them may come back."""

from __future__ import annotations

from pathlib import Path

from ensue.events.source import read


def test_c07_blocks_of_films_with_an_empty_one_and_no_end_of_the_last_line(tmp_path: Path) -> None:
    blocks = b"11:\r\n905,2,2003-03-09\r\n77,4,2002-07-01\r\n12:\n"
    blocks += b"13:\n905,5,2001-12-31\n6,1,2003-01-01\n14:\n5,3,2000-10-10"
    (tmp_path / "combined_data_1.txt").write_bytes(blocks)
    films = "11,1999,Loud, Louder\n12,NULL,Undated\n13,1971,Fête\n14,2002,Last\n"
    (tmp_path / "movie_titles.csv").write_bytes(films.encode("latin-1"))
    log = read(tmp_path)
    sequences = {
        key[0]: part["item"].to_list() for key, part in log.frame.group_by("user", maintain_order=True)
    }
    assert sequences == {"5": ["14"], "6": ["13"], "77": ["11"], "905": ["13", "11"]}
    assert (log.n_events, log.n_items) == (5, 3)
    assert log.items is not None
    assert log.items.rows() == [
        ("11", "Loud, Louder", 1999),
        ("12", "Undated", None),
        ("13", "Fête", 1971),
        ("14", "Last", 2002),
    ]
