"""Files over HTTP: taken up where they were cut, bounded, from the listed servers only, and checked."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ensue.errors import FetchError
from ensue.events.datasets.dataset import Download
from ensue.progress import Progress, Task
from ensue.version import __version__

TIMEOUT_S = 20
"""A server that says nothing for so long is taken to be gone."""

TRIES = 3
"""After so many tries in a row that brought nothing more, a download is given up."""

PAUSE_S = 0.5
"""Between two tries."""

_BLOCK = 1 << 16
_MIB = 1 << 20
_CHECKSUM_MOST = 4096
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.FORBIDDEN)


class _CutError(Exception):
    """The connection ended early, and what came so far is kept."""


def download(
    what: Download, folder: Path, hosts: Collection[str], progress: Progress, recorded: str = ""
) -> Path:
    """The file of a download, whole and checked.

    What was cut is taken up where it ended, in this call and in later ones, if the file is still the same there.

    Args:
        what: where it lies and how large it may be.
        folder: where it is put; it holds what came so far.
        hosts: the servers that may answer, after a redirect too.
        progress: told how much has come.
        recorded: SHA-256 of the same file when it was first fetched; "" if it never was.

    Raises:
        FetchError: it cannot be reached, is too large, or is not what it should be.
    """
    name = urlsplit(what.url).path.rpartition("/")[2]
    target, part = folder / name, folder / f"{name}.part"
    wanted = _published(what, hosts, progress) if what.md5 else ""
    idle = 0
    with progress.task(f"Fetching {name}", max(what.mib, 1e-3)) as task:
        meter = _Meter(task, what.mib)
        while True:
            before = _size(part)
            try:
                _attempt(what, part, hosts, meter)
                break
            except _CutError as cut:
                idle = idle + 1 if _size(part) <= before else 0
                if idle >= TRIES:
                    raise FetchError(
                        f"{what.url} was cut after {_size(part):,} bytes ({cut}): ask again, and it goes on from there"
                    ) from None
                time.sleep(PAUSE_S)
            except OSError as error:
                raise FetchError(f"{part} cannot be written ({error.strerror or error})") from None
    found = checksum(part, "md5") if wanted else ""
    if found != wanted:
        _forget(part)
        raise FetchError(
            f"{what.url} has the MD5 {found}, and its publisher says {wanted}: it is damaged, ask again"
        )
    if recorded and checksum(part, "sha256") != recorded:
        _forget(part)
        raise FetchError(
            f"{what.url} is another file than when it was first fetched (its SHA-256 is not {recorded[:12]}...): if "
            "there is a new edition, remove its line from .checksums.json in the cache"
        )
    part.replace(target)
    _forget(part)
    return target


def checksum(path: Path, kind: str) -> str:
    """The MD5 or SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


class _Meter:
    """Tells how much has come: the rate and the time left."""

    def __init__(self, task: Task, mib: float) -> None:
        self.task, self.mib = task, mib
        self.told = self.came = 0.0
        self.began = time.monotonic()

    def at(self, done: int, total: int | None, came: int = 0) -> None:
        """So many bytes are there, `came` of them just now."""
        self.came += came / _MIB
        rate = self.came / max(time.monotonic() - self.began, 1e-6)
        whole = total / _MIB if total is not None else self.mib
        note = f"{done / _MIB:,.1f} MiB"
        if whole:
            left = max(whole - done / _MIB, 0) / max(rate, 1e-6)
            note = f"{done / _MIB:,.1f} of {whole:,.1f} MiB, {rate:,.1f} MiB/s"
            note += f", {left // 60:.0f}:{left % 60:02.0f} left" if left and rate else ""
        share = done / _MIB * (self.mib / whole if self.mib and whole else 1)
        self.task.advance(max(share - self.told, 0), note)
        self.told = max(share, self.told)


def _attempt(what: Download, part: Path, hosts: Collection[str], meter: _Meter) -> None:
    """Brings as much as one connection gives."""
    begin, validator = _state(what, part)
    headers = {"Range": f"bytes={begin}-", "If-Range": validator} if begin else {}
    try:
        answer = _open(what.url, hosts, headers)
    except urllib.error.HTTPError as error:
        error.close()
        if begin and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _forget(part)
            raise _CutError("the file there is another one now") from None
        raise FetchError(f"{what.url} answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = f"{what.url} cannot be reached ({_reason(error)})"
        if begin:
            raise _CutError(reason) from None
        raise FetchError(f"{reason}: is there a network?") from None
    with answer:
        total = _total(answer, begin)
        if total is None and begin and answer.status == HTTPStatus.PARTIAL_CONTENT:
            _forget(part)
            raise _CutError("it sends another part than was asked for")
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            begin = 0
        if (total or 0) > what.most:
            _forget(part)
            raise FetchError(
                f"{what.url} has {total:,} bytes, and no more than {what.most:,} are expected: it is something else"
            )
        _remember(what, part, answer)
        with part.open("ab" if begin else "wb") as file:
            done = _copy(what, answer, file, begin, total, meter)
    if done > what.most or (total is not None and done > total):
        _forget(part)
        raise FetchError(f"{what.url} sends more than it may: {done:,} bytes of {total or what.most:,}")
    if total is not None and done < total:
        raise _CutError(f"of {total:,} bytes")


def _copy(what: Download, answer: Any, file: IO[bytes], begin: int, total: int | None, meter: _Meter) -> int:
    """Writes what comes; how many bytes the file has then."""
    done = begin
    meter.at(done, total)
    while True:
        try:
            block = answer.read(_BLOCK)
        except (http.client.HTTPException, OSError) as error:
            raise _CutError(_reason(error)) from None
        if not block:
            return done
        file.write(block)
        done += len(block)
        meter.at(done, total, len(block))
        if done > min(what.most, what.most if total is None else total):
            return done


def _total(answer: Any, begin: int) -> int | None:
    """How large the whole file is; None if the server does not say, or sends another part than was asked for."""
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", "").strip())
        return int(found[2]) if found and int(found[1]) == begin else None
    length = answer.headers.get("Content-Length", "").strip()
    return int(length) if length.isdecimal() else None


def _state(what: Download, part: Path) -> tuple[int, str]:
    """How many bytes are there already, and what says that the file is still the same; 0 where nothing does."""
    try:
        kept = json.loads(_memory(part).read_text(encoding="utf-8"))
        if kept["url"] == what.url and isinstance(kept["validator"], str) and kept["validator"]:
            return _size(part), kept["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, ""


def _remember(what: Download, part: Path, answer: Any) -> None:
    tag = answer.headers.get("ETag", "")
    validator = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
    _memory(part).write_text(json.dumps({"url": what.url, "validator": validator}), encoding="utf-8")


def _memory(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    for path in (part, _memory(part)):
        with suppress(FileNotFoundError):
            path.unlink()


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _published(what: Download, hosts: Collection[str], progress: Progress) -> str:
    """The MD5 that the publisher keeps beside the file; "" if it is not there, which is said."""
    url = f"{what.url}.md5"
    try:
        with _open(url, hosts, {}) as answer:
            text = answer.read(_CHECKSUM_MOST).decode("latin-1")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in _ABSENT:
            raise FetchError(f"{url} answers {error.code} {error.reason}") from None
        text = ""
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise FetchError(f"{url} cannot be reached ({_reason(error)}): is there a network?") from None
    found = re.search(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])", text)
    if found is None:
        progress.say(f"There is no checksum at {url}: the content is checked by its counts alone.")
        return ""
    return found[0].lower()


class _SameHosts(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to a server that is listed, and never from HTTPS to HTTP."""

    def __init__(self, hosts: Collection[str]) -> None:
        self.hosts = hosts

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request to the new address, if it may be asked."""
        try:
            _allowed(newurl, self.hosts, f"{req.full_url} leads to it")
            if req.type == "https" and urlsplit(newurl).scheme != "https":
                raise FetchError(
                    f"{req.full_url} leads to {newurl}, which is not protected: it is not followed"
                )
        except FetchError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _allowed(url: str, hosts: Collection[str], why: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname not in hosts:
        raise FetchError(f"{url} is none of the listed servers ({', '.join(sorted(hosts))}): {why}")


def _open(url: str, hosts: Collection[str], headers: dict[str, str]) -> Any:
    _allowed(url, hosts, "it is not asked")
    usual = {"User-Agent": f"ensue/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=usual | headers)  # noqa: S310 - the address was checked
    opener = urllib.request.build_opener(_SameHosts(hosts))
    return opener.open(request, timeout=TIMEOUT_S)


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", "") or inner or type(error).__name__).splitlines()[0]
