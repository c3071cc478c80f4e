"""How a service is set up: where it listens, what it answers from, and how much of anything it takes."""

from __future__ import annotations

import ipaddress
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from ensue.artifacts import DESCRIPTION
from ensue.errors import ConfigError
from ensue.misread import fault_in

STRICT = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class Bounds:
    """How much of anything is taken at once.

    Attributes:
        body: bytes of a request.
        k: items of an answer.
        history: events of a history, of one that comes with a request and of one that is kept; of this the oldest go,
            and items that stood in them alone may be answered again.
        candidates: items of a request to rerank.
        in_flight: requests that are worked on or wait; further ones are told to come back.
        rate: requests a second of one key, or of one address where there are no keys; 0 is no limit.
        burst: how many of them may come at once.
        seconds: to send a request.
        explained: items of an answer that are explained.
        log: bytes of the request log, of which the newer half at least is kept.
    """

    body: int = 1_000_000
    k: int = 1_000
    history: int = 10_000
    candidates: int = 10_000
    in_flight: int = 256
    rate: float = 0.0
    burst: int = 50
    seconds: float = 10.0
    explained: int = 50
    log: int = 200_000_000

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True)
class Settings:
    """A service.

    Attributes:
        run: folder of a run, whose best model answers, or of one model.
        host: address to listen at. Any other than the machine's own needs keys.
        port: port to listen at.
        workers: processes that share the port.
        state: where live histories are kept: path of a file, or "redis://..."; "" is state.db in the folder of the run,
            or MODEL.state.db beside that of a model.
        keys: file of keys, see `ensue keys`; "" asks for none.
        models: folder that models must lie in to be swapped in; "" is the models of the run.
        reranker: folder of a re-ranker, which then answers what is to be reranked; "" leaves that to the model.
        ads: folder of a click model, from which questions about ads are answered; "" answers none.
        rules: rules of all answers, as a table of TOML holds them.
        request_log: file to which each answer is added, under pseudonyms; "" keeps none.
        origins: web pages of these origins may ask; none but the service's own if empty.
        page: whether the page to try it is there.
        bounds: how much is taken at once.
        threads: cores that a network may use for one answer.
        table: how the table of a large catalogue is kept: "fp32", "fp16", "int8", "approximate" (by an index that is
            made once, and kept in the model's folder), or "auto", which goes by its size.
        layers: in what LSTMs compute the answer to one question: "fp32", as they were learnt, or "int8", with weights
            of 8 bits, where the model has such a graph.
        states: bytes that each process keeps of what recurrent networks carry from event to event; 0 keeps none.
        power_safe: whether each event survives the loss of power, at the price of a sync of the disk.
    """

    run: str
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    state: str = ""
    keys: str = ""
    models: str = ""
    reranker: str = ""
    ads: str = ""
    rules: Mapping[str, Any] = field(default_factory=dict)
    request_log: str = ""
    origins: tuple[str, ...] = ()
    page: bool = True
    bounds: Bounds = Bounds()
    threads: int = 1
    table: Literal["auto", "fp32", "fp16", "int8", "approximate"] = "auto"
    layers: Literal["fp32", "int8"] = "fp32"
    states: int = 64_000_000
    power_safe: bool = False

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    @property
    def store(self) -> str:
        """Address of the live histories; beside the folder of a model, which the next model replaces as a whole."""
        if self.state:
            return self.state
        run = Path(self.run)
        return str(
            run.with_name(f"{run.name}.state.db") if (run / DESCRIPTION).is_file() else run / "state.db"
        )

    @property
    def remote(self) -> bool:
        """Whether the histories are on another machine."""
        return is_remote(self.store)

    @property
    def models_root(self) -> Path:
        """The folder that models are swapped in from."""
        if self.models:
            return Path(self.models)
        inside = Path(self.run) / "models"
        return inside if inside.is_dir() else Path(self.run).parent


def settings_of(content: Mapping[str, Any], where: str = "the service") -> Settings:
    """The settings of plain values, as TOML or a command line gives them.

    Raises:
        ConfigError: all faults at once, or an address that must not be listened at without keys.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        settings = TypeAdapter(Settings).validate_json(json.dumps(content, default=str))
    except ValidationError as found:
        faults = [fault_in(error, Settings(run=""), shown=False) for error in found.errors()]
    else:
        faults = _ranges(settings)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(f"{where} has faults:\n{listed}")
    return settings


def read_settings(path: str | Path, **given: Any) -> Settings:
    """The settings of the table [serve] of a TOML file, and what is given beside it.

    Raises:
        ConfigError: the file is missing, is not TOML, or has faults.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read: {fault.strerror}.") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} is not TOML: {fault}.") from fault
    held = content.get("serve", {})
    if not isinstance(held, dict):
        raise ConfigError(f"{path}: [serve] must be a table.")
    also = {"rules": content["rules"]} if "rules" in content else {}
    return settings_of({**also, **held, **given}, str(path))


def is_remote(address: str) -> bool:
    """Whether a store is a server, not a file."""
    return address.startswith(("redis://", "rediss://", "unix://"))


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def checked(settings: Settings) -> Settings:
    """The settings, once it is known that nobody unknown can ask.

    Raises:
        ConfigError: it would listen to other machines without keys.
    """
    if not settings.keys and not is_loopback(settings.host):
        raise ConfigError(
            f"{settings.host} can be reached by other machines, and no keys are asked for: make one by "
            "`ensue keys new KEYS.json` and give --keys KEYS.json, or listen at 127.0.0.1."
        )
    return settings


def _ranges(settings: Settings) -> list[str]:
    """Numbers of the right kind that cannot be."""
    bounds = settings.bounds
    faults = [
        f"bounds.{one.name} = {getattr(bounds, one.name)}: must be above 0."
        for one in fields(Bounds)
        if one.name != "rate" and not getattr(bounds, one.name) > 0
    ]
    if bounds.rate < 0:
        faults.append(f"bounds.rate = {bounds.rate}: must be 0 or more.")
    if not 0 <= settings.port < 65_536:
        faults.append(f"port = {settings.port}: must be from 0 to 65535.")
    if not 1 <= settings.workers <= 64:
        faults.append(f"workers = {settings.workers}: must be from 1 to 64.")
    if settings.states < 0:
        faults.append(f"states = {settings.states}: must be 0 or more.")
    if not settings.run:
        faults.append("run: name the folder of a run, or of a model.")
    return faults
