"""Components by name, found in the folders they live in: adding a file adds a component."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Generic, TypeVar

from ensue.errors import ConfigError, MissingExtraError, nearest

T = TypeVar("T")

EXTRAS = {"torch": "train", "onnx": "train", "onnxscript": "train", "onnxruntime": "run"}
"""Which extra of the installation brings a library that is not in the base."""


@dataclass(frozen=True)
class Missing:
    """A module that could not be looked at, since a library it imports is not installed."""

    module: str
    library: str

    @property
    def remedy(self) -> str:
        """The command that installs what is missing."""
        return f"pip install 'ensue[{EXTRAS[self.library]}]'"


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The frozen dataclasses of one kind that live in some packages, by their `name`.

    A component is a concrete frozen dataclass that subclasses `kind` and declares `name: ClassVar[str]`.
    A class whose own name begins with an underscore is a part of others, and no component.

    Attributes:
        packages: packages (or single modules) to look in, in this order. One is imported only when the name
            is in none before it, so what needs torch comes last.
        kind: the class that every component subclasses.
        group: entry points by which other installed packages name modules with components of their own; "" asks none.
            They are looked at last.

    Example:
        >>> from ensue.model import models
        >>> models.get("markov").__name__
        'Markov'
    """

    packages: tuple[str, ...]
    kind: type[T]
    group: str = ""

    def get(self, name: str) -> type[T]:
        """The component of this name.

        Raises:
            ConfigError: no component has this name, or two have.
            MissingExtraError: none of those that can be imported has it, and some cannot be imported.
        """
        found: dict[str, type[T]] = {}
        missing: list[Missing] = []
        for package in self._packages():
            self._collect(package, found, missing)
            if name in found:
                return found[name]
        what = f"no {self.kind.__name__.lower()} is called '{name}'"
        known = f"there are {', '.join(found)}" if found else "there are none"
        if not missing:
            raise ConfigError(f"{what}; {known}.{nearest(name, found)}")
        first = missing[0]
        raise MissingExtraError(
            f"{what} in this installation ({known}).{nearest(name, found)} "
            f"{first.module} needs {first.library}: {first.remedy}"
        )

    def names(self) -> tuple[str, ...]:
        """The names of all components that can be imported: by package, then file, then place in the file.

        Raises:
            ConfigError: two components have one name.
        """
        return tuple(self._all()[0])

    def missing(self) -> tuple[Missing, ...]:
        """The modules that `names` had to pass over, each with the library it lacks."""
        return tuple(self._all()[1])

    def _all(self) -> tuple[dict[str, type[T]], list[Missing]]:
        found: dict[str, type[T]] = {}
        missing: list[Missing] = []
        for package in self._packages():
            self._collect(package, found, missing)
        return found, missing

    def _packages(self) -> Iterator[str]:
        """The packages to look in, those of other installed packages last."""
        yield from self.packages
        if self.group:
            yield from sorted({entry.module for entry in entry_points(group=self.group)})

    def _collect(self, package: str, found: dict[str, type[T]], missing: list[Missing]) -> None:
        """Adds the components of one package to `found`, and what it lacks to `missing`."""
        for module in _modules(package, missing):
            for component in self._components(module):
                name = _name_of(component)
                if found.get(name, component) is not component:
                    raise ConfigError(
                        f"two components are called '{name}': {_where(found[name])} and {_where(component)}; "
                        "rename one of them"
                    )
                found[name] = component

    def _components(self, module: ModuleType) -> Iterator[type[T]]:
        """The classes that were written in this module (not imported into it) to be components."""
        for value in vars(module).values():
            if (
                inspect.isclass(value)
                and value.__module__ == module.__name__
                and issubclass(value, self.kind)
                and value is not self.kind
                and not inspect.isabstract(value)
                and not value.__name__.startswith("_")
            ):
                yield value


def _modules(package: str, missing: list[Missing]) -> Iterator[ModuleType]:
    """A package's modules in the order of their names (or the one module it is), imported."""
    parent = _imported(package, missing)
    if parent is None:
        return
    yield parent
    for entry in sorted(pkgutil.iter_modules(getattr(parent, "__path__", ())), key=lambda entry: entry.name):
        module = _imported(f"{package}.{entry.name}", missing)
        if module is not None:
            yield module


def _imported(name: str, missing: list[Missing]) -> ModuleType | None:
    """The module, or None when a library of an extra is absent. Any other failure to import is a fault."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        missing.append(Missing(name, library))
        return None


def _name_of(component: type[Any]) -> str:
    """The declared name; a class that is no proper component is a fault of whoever wrote it."""
    name = vars(component).get("name")
    if not isinstance(name, str):
        raise TypeError(f"{_where(component)} declares no `name: ClassVar[str]`")
    if "__dataclass_params__" not in vars(component) or not (
        is_dataclass(component) and component.__dataclass_params__.frozen  # type: ignore[attr-defined]
    ):
        raise TypeError(f"{_where(component)} is not a frozen dataclass")
    return name


def _where(component: type[Any]) -> str:
    return f"{component.__module__}.{component.__qualname__}"
