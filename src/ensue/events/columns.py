"""Which column of a source is the user, the item, the time: said by the caller, or recognised by its usual names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensue.errors import ColumnError

_WORDS = {
    "user": (
        "user user_id users uid visitor visitor_id customer customer_id cust_id reviewer reviewer_id member member_id "
        "account_id client_id profile_id person person_id subscriber_id shopper_id listener_id reader_id"
    ),
    "item": (
        "item item_id items iid movie movie_id film_id product product_id sku asin parent_asin stock_code article "
        "article_id song song_id track track_id artist_id book book_id isbn video video_id news_id venue_id "
        "business_id poi_id listing_id content_id offer_id hotel_id game_id recipe_id goods_id post_id"
    ),
    "time": (
        "time timestamp ts date datetime date_time event_time event_timestamp event_date unix_review_time unix_time "
        "unix_timestamp created_at created_time click_time view_time invoice_date order_date purchase_date visit_date "
        "rated_at occurred_at utc utc_time epoch time_stamp"
    ),
    "event": (
        "event event_type action action_type behavior behaviour behavior_type behaviour_type interaction "
        "interaction_type event_name"
    ),
    "rating": "rating ratings score stars overall rating_value",
    "session": "session session_id sess_id user_session visit_id",
    "basket": "basket basket_id order_id invoice invoice_no invoice_id transaction_id cart_id receipt_id",
    "quantity": "quantity qty",
    "order": "order pos position step event_order sequence_number",
}

USUAL: dict[str, tuple[str, ...]] = {canonical: tuple(words.split()) for canonical, words in _WORDS.items()}
"""Canonical column -> usual names. Case, spaces, "_", "-" and "." do not count: CustomerID is customer_id."""

_USUAL = {re.sub(r"[\s_.-]", "", name): canonical for canonical, names in USUAL.items() for name in names}

_LOOKED_AT = 60
"""How many columns of a very wide table are looked at for one that was meant."""

_OPTIONAL = "leave it out with columns={{'{name}': ''}} (--columns {name}=)"


@dataclass(frozen=True)
class Chosen:
    """The columns of one source.

    Attributes:
        columns: canonical column -> name in the source, in canonical order.
        notes: what was decided on the caller's behalf.
    """

    columns: dict[str, str]
    notes: tuple[str, ...] = ()


def usual(name: str) -> str | None:
    """The canonical column that a source's column name usually means, or None. RecBole's "user_id:token" counts."""
    return _USUAL.get(re.sub(r"[\s_.-]", "", name.split(":")[0].casefold()))


def check_mapping(mapping: Mapping[str, str] | None) -> dict[str, str]:
    """The caller's mapping, canonical column -> name in the source, once all its keys are known ones.

    Raises:
        ColumnError: keys that are no canonical column, all of them at once, each with what was probably meant.
    """
    mapping = dict(mapping or {})
    faults = [f"'{key}'{_meant(key)}" for key in mapping if key not in USUAL]
    if faults:
        raise ColumnError(
            f"Unknown in the column mapping: {'; '.join(faults)}. Known are: {', '.join(USUAL)}."
        )
    if mapping.get("user") and mapping.get("user") == mapping.get("item"):
        raise ColumnError(f"Column '{mapping['user']}' is mapped to user and to item: they must differ.")
    return mapping


def choose(names: Sequence[str], mapping: Mapping[str, str] | None, file: str) -> Chosen:
    """The columns to use: the caller's mapping wins, the rest is recognised by usual names.

    Args:
        names: all columns of the source.
        mapping: canonical column -> name in the source; an empty name means "there is none, do not look for it".
        file: where the columns are, for messages.

    Raises:
        ColumnError: no user, no item, a mapped name that is not there, several candidates for one column, or no time
            while a column looks like one. The message names what was found and gives the option to write.
    """
    mapping = check_mapping(mapping)
    chosen, notes = dict(mapping), []
    for canonical, source in mapping.items():
        if source and source not in names:
            meant = difflib.get_close_matches(source.casefold(), [name.casefold() for name in names], n=1)
            hint = "".join(f" Did you mean '{_short(name)}'?" for name in names if [name.casefold()] == meant)
            raise ColumnError(
                f"Column '{_short(source)}' (mapped to {canonical}) is not in {file}, which has: "
                f"{_listed(names)}.{hint}"
            )
    taken = {source for source in mapping.values() if source}
    for canonical in USUAL:
        if canonical in mapping:
            continue
        found = [name for name in names if name not in taken and usual(name) == canonical]
        if len(found) > 1:
            quoted = " and ".join(f"'{_short(name)}'" for name in found[:5])
            raise ColumnError(
                f"{quoted} in {file} could all be the {canonical}: say which, {_option(canonical, found[0])}"
                + ("." if canonical in ("user", "item") else f", or {_OPTIONAL.format(name=canonical)}.")
            )
        if found:
            chosen[canonical] = found[0]
    chosen = {canonical: chosen[canonical] for canonical in USUAL if chosen.get(canonical)}
    if "user" not in chosen and "user" not in mapping and "session" in chosen:
        chosen = {"user": chosen["session"], **chosen}
        notes.append(f"no user column: each session ('{chosen['session']}') is taken as a user")
    free = [name for name in names if name not in chosen.values()]
    for canonical in ("user", "item"):
        if canonical not in chosen:
            likely = _likely(canonical, free)
            raise ColumnError(
                f"No column for the {canonical} in {file}: found {_listed(names)}. "
                f"Map it: {_option(canonical, likely[0] if likely else 'NAME')}."
            )
    if "time" not in chosen:
        likely = _likely("time", free)
        if likely and "time" not in mapping:
            raise ColumnError(
                f"No column for the time in {file}: found {_listed(names)}. '{_short(likely[0])}' looks like one, map "
                f"it: {_option('time', likely[0])}, or say that there is none: {_option('time', '')}."
            )
        notes.append("no time column: the order of the rows is taken as the order of the events")
    return Chosen(chosen, tuple(notes))


def looks_like_data(fields: Sequence[str]) -> bool:
    """Whether the first line of a table is a row rather than column names: no usual name, and a number among them."""
    if any(usual(field) for field in fields):
        return False
    return any(
        re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", field.strip()) for field in fields
    )


def by_position(mapping: Mapping[str, str], fields: Sequence[str]) -> bool:
    """Whether the mapping gives places ("user=1,item=2") rather than names, as for a table without a header.

    A first line that merely counts (0,1,2 as pandas writes unnamed columns, or 1,2,3) is a header all the same.
    """
    sources = [source for source in mapping.values() if source]
    counting = any(list(fields) == [str(place + start) for place in range(len(fields))] for start in (0, 1))
    return bool(sources) and all(s.isascii() and s.isdigit() for s in sources) and not counting


def _short(name: str) -> str:
    """A name in a message: on one line, and shortened where it is very long."""
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name[:41]
    )
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _listed(names: Sequence[str]) -> str:
    """The names in a message, shortened where they are very long or very many."""
    return ", ".join(_short(name) for name in names[:30]) + (
        f" and {len(names) - 30} more" if len(names) > 30 else ""
    )


def _option(canonical: str, source: str) -> str:
    name = _short(source)
    return f"columns={{'{canonical}': '{name}'}} (--columns {canonical}={name})"


def _meant(key: str) -> str:
    """What an unknown key of a mapping probably meant."""
    folded = re.sub(r"[\s_.-]", "", key.casefold())
    close = difflib.get_close_matches(folded, [*USUAL, *_USUAL], n=1, cutoff=0.7)
    if not close:
        return ""
    canonical = _USUAL[close[0]]
    also = "" if close[0] == canonical else f" (whose usual names include '{close[0]}')"
    return f", did you mean '{canonical}'{also}?"


def _likely(canonical: str, names: Sequence[str]) -> list[str]:
    """Names that are nearly a usual name of the column, or hold one as a word, nearest first."""
    aliases = [folded for folded, meaning in _USUAL.items() if meaning == canonical]
    scored = []
    for name in names[:_LOOKED_AT]:
        folded = re.sub(r"[\s_.-]", "", name.casefold())
        best = max(difflib.SequenceMatcher(None, folded, alias).ratio() for alias in aliases)
        words = [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
        if best > 0.8 or any(word in aliases for word in words):
            scored.append((-best, name))
    return [name for _, name in sorted(scored)]
