"""UCI Online Retail: invoice lines, as one CSV, a folder of daily CSV files, or a tar archive of them.

References:
    Chen, Sain and Guo (2012), Data mining for the online retail industry, doi:10.1057/dbm.2012.17.
"""

from __future__ import annotations

import dataclasses
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from ensue.errors import DataError
from ensue.events.readers import content, delimited, layout
from ensue.events.readers.records import kept, scan
from ensue.events.readers.table import Options, RawTable, Reader, rejected

HEADER = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)

COLUMNS = {
    "user": "CustomerID",
    "item": "StockCode",
    "time": "InvoiceDate",
    "event": "event",
    "basket": "InvoiceNo",
    "quantity": "Quantity",
    "rating": "",
    "session": "",
    "order": "",
}
NO_CUSTOMER = "no customer"

LARGEST = 4 << 30
"""Most bytes that the files of an archive may have together, unpacked."""

_LOOKED_AT = 50


def read(path: Path, options: Options) -> RawTable:
    """Lines of invoices: those of one invoice are a basket, cancelled ones are returns.

    A line is a return if its invoice begins with C or its quantity is below zero. Lines without a customer are set
    aside, yet they count for the titles: each item bears the description that stands with it most often.

    Raises:
        DataError: no file of the layout, or a broken archive.
    """
    if path.is_dir():
        return _finished(_folder(path, options))
    return _finished(_archive(path) if _is_tar(path) else layout.table(path, options, ","))


def _folder(path: Path, options: Options) -> RawTable:
    tables = [layout.table(file, options, ",") for file in layout.files(path, ".csv") if _has_header(file)]
    if tables:
        return layout.joined(tables, path.name)
    archives = [file for file in layout.files(path, ".tar", ".tgz") if _in_archive(file)]
    if len(archives) != 1:
        found = "several archives" if archives else "no CSV file or archive with its header"
        raise DataError(
            f"{path} holds {found} of Online Retail ({', '.join(HEADER[:3])}, ...): give one file."
        )
    return _archive(archives[0])


def _finished(raw: RawTable) -> RawTable:
    layout.needed(raw, HEADER, "Online Retail")
    gone = pl.col("InvoiceNo").str.starts_with("C") | pl.col("Quantity").str.strip_chars().str.starts_with(
        "-"
    )
    items, notes = _titles(raw.frame)
    frame = raw.frame
    if layout.is_american(frame["InvoiceDate"]):
        frame = frame.with_columns(layout.american("InvoiceDate"))
        notes += ("times are written month/day/year",)
    frame = frame.with_columns(event=pl.when(gone).then(pl.lit("return")).otherwise(pl.lit("purchase")))
    raw = layout.without(
        dataclasses.replace(raw, frame=frame),
        pl.col("CustomerID").str.strip_chars() == "",
        NO_CUSTOMER,
        pl.lit("invoice ") + pl.col("InvoiceNo"),
    )
    returns = int((raw.frame["event"] == "return").sum())
    notes += (
        f"returns (the invoice begins with C, or the quantity is below zero), of event 'return': {returns:,}",
    )
    return dataclasses.replace(raw, columns=COLUMNS, items=items, notes=(*raw.notes, *notes))


def _titles(frame: pl.DataFrame) -> layout.Items:
    """Each item with the description that stands with it most often; the first of equally frequent ones."""
    said = frame.select(item="StockCode", title=pl.col("Description").str.strip_chars()).filter(
        pl.col("item") != ""
    )
    counted = (
        said.with_row_index("first")
        .group_by("item", "title")
        .agg(pl.len().alias("count"), pl.col("first").min())
        .sort(pl.col("title") == "", -pl.col("count").cast(pl.Int64), "first")
    )
    items = counted.group_by("item", maintain_order=True).agg(pl.col("title").first(), pl.col("first").min())
    several = counted.filter(pl.col("title") != "")["item"].is_duplicated().sum()
    notes = ("items with several descriptions bear the most frequent one as their title",) if several else ()
    return items.sort("first").drop("first"), notes


def _archive(path: Path) -> RawTable:
    """The rows of all CSV files of an archive in the order of their names; nothing is written to disk."""
    found = dict(_members(path))
    if not found:
        raise DataError(f"{path.name} holds no CSV file of Online Retail ({', '.join(HEADER[:3])}, ...).")
    notes: tuple[str, ...] = ()
    bodies: list[bytes] = []
    parts: list[tuple[str, int]] = []
    lines = 0
    for name in sorted(found):
        data, said = content.text(found.pop(name), name)
        notes += tuple(note for note in said if note.endswith("Latin-1, since it is not UTF-8"))
        head, _, body = data.partition(b"\n")
        if tuple(head.decode().strip("\r").split(",")) != HEADER:
            raise DataError(f"{name} in {path.name} has another header than {','.join(HEADER)}: take it out.")
        parts.append((name, lines))
        bodies.append(
            b"\n" + body + (b"" if body.endswith(b"\n") or not body else b"\n")
        )  # no header, a line all the same
        lines += bodies[-1].count(b"\n")
    notes += (f"{len(bodies):,} files of the archive are read as one",)
    return dataclasses.replace(_rows(b"".join(bodies), path.name), notes=notes, parts=tuple(parts))


def _rows(data: bytes, file: str) -> RawTable:
    """The rows of the bodies of all files, one after another."""
    records = scan(data, ord(","), quoting=True)
    filled = np.flatnonzero(records.fields > 0) if not records.broken else np.zeros(0, dtype=np.int64)
    right = records.fields[filled] == len(HEADER)
    keep = np.zeros(len(records.fields), dtype=np.bool_)
    keep[filled[right]] = True
    try:
        frame = pl.read_csv(
            kept(data, records, keep) if right.any() else b"",
            has_header=False,
            schema=dict.fromkeys(HEADER, pl.String()),
            empty_string_is_null=False,
        )
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame(schema=dict.fromkeys(HEADER, pl.String()))
    if records.broken or frame.height != int(right.sum()):
        raise DataError(
            f"Quotes do not fit together in {file}: unpack it and give the folder, to learn where."
        )
    if not len(filled):
        raise DataError(f"{file} has headers and no rows: there is nothing to read.")
    odd = filled[~right]
    texts = [data[records.starts[i] : records.ends[i]].decode() for i in odd]
    few = pl.Series(records.fields[odd] < len(HEADER))
    shape = pl.when(few).then(pl.lit(delimited.TOO_FEW)).otherwise(pl.lit(delimited.TOO_MANY))
    return RawTable(
        file=file,
        frame=frame,
        lines=pl.Series("line", records.lines[filled[right]]),
        rejected=rejected(pl.Series(records.lines[odd]), "", texts).with_columns(reason=shape),
        rows=len(filled),
    )


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each CSV file of an archive; links, devices and other files are passed over.

    Raises:
        DataError: the archive is broken or too large.
    """
    total = 0
    try:
        with content.opened(path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                if not (member.isreg() and member.name.lower().endswith(".csv")):
                    continue
                total += member.size
                if total > LARGEST:
                    raise DataError(
                        f"{path.name} unpacks to more than {LARGEST >> 30} GiB: unpack it and give a file."
                    )
                file = archive.extractfile(member)
                yield member.name, file.read() if file is not None else b""
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path.name} is a broken archive ({error}): fetch or pack it again.") from None


def _is_tar(path: Path) -> bool:
    return content.head(path, 512)[257:262] == b"ustar"


def _has_header(path: Path) -> bool:
    return tuple(layout.heads(path, ",")) == HEADER


def _in_archive(path: Path) -> bool:
    """Whether the first CSV file of an archive has the header."""
    try:
        if not _is_tar(path):
            return False
        with content.opened(path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for _, member in zip(range(_LOOKED_AT), archive, strict=False):
                if member.isreg() and member.name.lower().endswith(".csv"):
                    file = archive.extractfile(member)
                    start = b"" if file is None else file.read(4096).removeprefix(b"\xef\xbb\xbf")
                    return start.split(b"\n")[0].strip(b"\r") == ",".join(HEADER).encode()
    except (DataError, tarfile.TarError, EOFError, zlib.error, ValueError):
        return False
    return False


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return any(_has_header(file) for file in layout.files(path, ".csv")[:_LOOKED_AT]) or any(
            _in_archive(file) for file in layout.files(path, ".tar", ".tgz")
        )
    return _has_header(path) or _in_archive(path)


READERS = (
    Reader(
        "online-retail",
        "UCI Online Retail: invoice lines as CSV, a folder of daily files, or a tar archive of them",
        rank=0,
        recognises=_recognises,
        read=read,
        folders=True,
    ),
)
