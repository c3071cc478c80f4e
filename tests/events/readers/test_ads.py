"""Logs of advertisements are known, and refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensue.errors import DataError
from ensue.events.source import read

CRITEO = ["Id", "Label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
ORIGINAL = ["0", *("1" for _ in range(12)), "", *("68fd1e64" for _ in range(26))]
AVAZU = "id,click,hour,C1,banner_pos,site_id,site_domain,device_id"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (",".join(CRITEO) + "\n" + ",".join("1" for _ in CRITEO), "Criteo"),
        ("\t".join(ORIGINAL), "Criteo"),
        (AVAZU + "\n1,0,14102100,1005,0,s,d,a99f214a", "Avazu"),
    ],
)
def test_a_log_without_users_says_so(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / "train.csv"
    path.write_text(text + "\n", encoding="utf-8")
    for source in (path, tmp_path):
        with pytest.raises(DataError, match=rf"is the {name} log .* names neither users nor items"):
            read(source)


@pytest.mark.data
@pytest.mark.parametrize("name", ["criteo-sample", "avazu-sample"])
def test_the_real_samples_are_refused(data_dir: Path, name: str) -> None:
    with pytest.raises(DataError, match="names neither users nor items"):
        read(data_dir / name)
