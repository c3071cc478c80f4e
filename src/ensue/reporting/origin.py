"""Where the figures come from: the data, answers to look at, the configuration, versions, and how to repeat it all."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ensue.report.blocks import Block, Cards, Code, Folded, Grid, Heading, Part, Steps, Tiles, Words
from ensue.reporting.reading import Absent, Run
from ensue.run_folder import REPEAT
from ensue.toml_text import toml_of


def examples(run: Run) -> Part | Absent:
    """A few answers of the served model beside what really came next."""
    found = run.content.get("samples")
    if not found:
        why = "this run kept no histories" if found is not None else "this run kept no samples"
        return Absent("Examples", why)
    said = (
        f"{run.best['label']}, asked before the last event of tested {run.unit}s with histories from short to long. "
        "Some answers miss what came next: an honest test has many of those."
    )
    return Part(
        "examples", "Examples", (Words(said), Cards(tuple(map(_example, found, range(1, len(found) + 1)))))
    )


def _example(found: Mapping[str, Any], number: int) -> tuple[Block, ...]:
    """A history, what came next, and what was recommended."""
    before = f"{found['before']:,} earlier, then " if found["before"] else ""
    ending = " → ".join(_item(item) for item in found["history"])
    rank, after = found["rank"], found["next"]["item"]
    came = "not among the candidates" if rank is None else f"rank {rank:g} of the candidates"
    listed = [_item(one) + (" ← came next" if one["item"] == after else "") for one in found["slate"]]
    return (
        Heading(f"Example {number}"),
        Words(f"History: {before}{ending}"),
        Words(f"Came next: {_item(found['next'])} ({came})"),
        Words("Recommended:"),
        Steps(tuple(listed)),
    )


def _item(found: Mapping[str, Any]) -> str:
    """An item by its title, and by its id where it has none."""
    title = found.get("title")
    return str(found["item"]) if title is None else str(title)


def data(run: Run) -> Part:
    """What the log is, what was read and set aside, how it was split, and what follows from it."""
    audit, split = run.content["audit"], run.content["split"]
    tiles = [
        (name, f"{audit[key]:{how}}")
        for name, key, how in (
            ("events", "events", ",d"),
            ("users", "users", ",d"),
            ("items", "items", ",d"),
            ("days", "span_days", ",.0f"),
            ("density", "density", ".2%"),
            (f"events a {audit.get('by', 'user')}", "mean_length", ".1f"),
            ("repeats", "repeat_share", ".1%"),
            ("tied in time", "tied_share", ".1%"),
            ("on the top 1 % of items", "top_1_share", ".1%"),
        )
        if audit.get(key) is not None
    ]
    lines = [
        f"Source {run.content['experiment']['data']['source']}; fingerprint {run.content['data']['fingerprint'][:16]}."
    ]
    if audit.get("first") and audit.get("last"):
        lines.append(f"Time: {moment(audit['first'])} to {moment(audit['last'])} UTC.")
    sizes = ", ".join(f"{size:,} {part}" for part, size in (split.get("sizes") or {}).items())
    lines.append(f"Split: {split['rule']}; {sizes}.")
    lines += _read(run.content["data"].get("reading") or {})
    for name, steps in (run.content.get("filters") or {}).items():
        lines += [f"Learnt from, of {_learnt_from(name)}: {_left(step)}." for step in steps]
    if audit.get("lengths"):
        quantiles = ", ".join(f"{name} {value:g}" for name, value in audit["lengths"].items())
        lines.append(f"Lengths of the sequences, in events: {quantiles}.")
    advice = tuple(
        (
            str(one["option"]),
            str(one["value"]).lower() if isinstance(one["value"], bool) else str(one["value"]),
            one["reason"],
        )
        for one in audit.get("advice") or ()
    )
    blocks: list[Block] = [Tiles(tuple(tiles)), *(Words(line) for line in lines)]
    if advice:
        blocks += [Heading("What follows from the data"), Grid("Advice", ("for", "advised", "since"), advice)]
    blocks.append(Words("The whole audit, with plots: ensue data audit LOG --html FILE.", "soft"))
    return Part("data", "The data", tuple(blocks))


def _read(reading: Mapping[str, Any]) -> list[str]:
    """What was read and what was set aside, without example rows: those are somebody's."""
    lines = []
    if "rows_read" in reading and "rows_kept" in reading:
        lines.append(f"Read: {reading['rows_read']:,} rows, {reading['rows_kept']:,} kept.")
    aside = reading.get("set_aside")
    if isinstance(aside, Mapping):
        lines += [
            f"Set aside: {count:,} rows, {reason}."
            for reason, count in aside.items()
            if isinstance(count, int)
        ]
    return lines


def _learnt_from(name: str) -> str:
    return {"train": "the training part", "before_test": "all before the test"}.get(name, name)


def _left(step: Mapping[str, Any]) -> str:
    """What one filter left of what is learnt from."""
    before, after = step["before"], step["after"]
    stayed = ", ".join(f"{after[what]:,} of {before[what]:,} {what}" for what in before)
    return f"{stayed} ({step['filter']})"


def moment(text: str) -> str:
    """A time without its seconds and zone."""
    return text[:16].replace("T", " ")


def repeating(run: Run) -> Part:
    """The command that repeats the run, its configuration, and what it ran on."""
    made = run.content.get("made") or {}
    where = shlex.quote(str(run.folder / REPEAT))
    again = shlex.quote(f"{run.folder}-again")
    command = f"ensue run {where} --out {again}"
    versions = made.get("versions") or {"ensue": run.content["ensue"]}
    machine = made.get("machine") or {}
    rows = [(name, str(value)) for name, value in versions.items()]
    rows += [(_MACHINE.get(name, name), str(value)) for name, value in machine.items() if value is not None]
    blocks: list[Block] = [
        Code("The command that repeats this run", command, "sh"),
        Words(
            f"Seed {run.content['experiment']['seed']}: the same seed gives the same bits on one machine, unless a "
            "network met the limit of minutes.",
            "soft",
        ),
        Grid("Versions and machine", ("what", "value"), tuple(rows)),
    ]
    if made.get("finished"):
        blocks.append(Words(f"Finished {moment(made['finished'])} UTC.", "soft"))
    if not made:
        blocks.append(Words("This run did not keep the versions of libraries or the machine.", "soft"))
    settings = Code("The configuration, every choice made", configuration(run.content["experiment"]), "toml")
    chosen = Grid(
        "Settings", ("model", "settings"), tuple((rung["label"], _settings(rung)) for rung in run.rungs)
    )
    blocks += [
        Folded("The configuration (TOML), every automatic choice made", (settings,)),
        Folded("Settings of each model, as fitted", (chosen,)),
    ]
    return Part("repeat", "How to repeat it", tuple(blocks))


_MACHINE = {"memory_gb": "memory, GB", "threads": "threads (OMP_NUM_THREADS)"}


def configuration(experiment: Mapping[str, Any]) -> str:
    """An experiment as the text of its file."""
    return toml_of(experiment)


def _settings(rung: Mapping[str, Any]) -> str:
    values: Sequence[tuple[str, Any]] = list((rung.get("settings") or {}).items())
    return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values) or "none"
