"""Components are found by where they lie; what is wrong with one is said by name."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ensue.errors import ConfigError, MissingExtraError
from ensue.registry import Missing, Registry

Package = Callable[[dict[str, str]], Registry[Any]]

KIND = """
    from abc import ABC, abstractmethod
    from typing import ClassVar

    class Voice(ABC):
        name: ClassVar[str]

        @abstractmethod
        def sound(self) -> str: ...
"""


def component(name: str, cls: str = "Voice1", frozen: bool = True, head: str = "") -> str:
    return head + textwrap.dedent(
        f"""
        from dataclasses import dataclass
        from typing import ClassVar
        from choir.kind import Voice

        @dataclass(frozen={frozen})
        class {cls}(Voice):
            name: ClassVar[str] = {name!r}

            def sound(self) -> str:
                return "la"
        """
    )


@pytest.fixture
def choir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Writes a package `choir` with folders `low` and `high`; the files given are `folder/file` -> text."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(files: dict[str, str]) -> Registry[Any]:
        for folder in ("choir", "choir/low", "choir/high"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "__init__.py").write_text("")
        (tmp_path / "choir/kind.py").write_text(textwrap.dedent(KIND))
        for path, text in files.items():
            (tmp_path / "choir" / f"{path}.py").write_text(text)
        kind = __import__("choir.kind", fromlist=["Voice"]).Voice
        return Registry(("choir.low", "choir.high"), kind)

    yield write
    for module in [name for name in sys.modules if name.partition(".")[0] == "choir"]:
        del sys.modules[module]


def test_each_file_adds_its_component_and_the_order_is_that_of_the_files(choir: Package) -> None:
    voices = choir({"high/b": component("alto"), "high/a": component("treble"), "low/z": component("bass")})
    assert voices.names() == ("bass", "treble", "alto")
    assert {name: voices.get(name).name for name in voices.names()} == {n: n for n in voices.names()}
    assert voices.get("alto")().sound() == "la"
    assert voices.missing() == ()


def test_a_single_module_is_looked_into_too(choir: Package) -> None:
    kind = choir({"low/all": component("bass") + component("tenor", "Voice2")}).kind
    assert Registry(("choir.low.all",), kind).names() == ("bass", "tenor")


def test_a_package_is_imported_only_when_the_name_is_in_none_before_it(choir: Package) -> None:
    voices = choir({"low/a": component("bass"), "high/a": component("treble")})
    assert voices.get("bass").__module__ == "choir.low.a"
    assert "choir.low.a" in sys.modules
    assert not [name for name in sys.modules if name.startswith("choir.high")]
    voices.get("treble")
    assert "choir.high.a" in sys.modules


def test_parts_imports_and_other_classes_are_no_components(choir: Package) -> None:
    borrowed = "from choir.low.a import Voice1\nfrom choir.kind import Voice\nclass Other: name = 'other'\n"
    abstract = "class Half(Voice): pass\nclass _Part(Voice1): pass\nAlias = Voice1\n"
    voices = choir({"low/a": component("bass"), "low/b": borrowed + abstract})
    assert voices.names() == ("bass",)
    assert Registry(("choir.low.b",), voices.kind).names() == ()


def test_an_unknown_name_is_answered_with_the_known_and_the_nearest(choir: Package) -> None:
    voices = choir({"low/a": component("bass"), "high/a": component("treble")})
    with pytest.raises(ConfigError) as error:
        voices.get("trebel")
    assert str(error.value) == "no voice is called 'trebel'; there are bass, treble. Did you mean 'treble'?"
    with pytest.raises(ConfigError, match=r"^no voice is called 'xyz'; there are bass, treble\.$"):
        voices.get("xyz")


def test_an_empty_registry_says_so(choir: Package) -> None:
    voices = choir({})
    assert voices.names() == ()
    with pytest.raises(ConfigError, match=r"no voice is called 'bass'; there are none\."):
        voices.get("bass")


@pytest.mark.parametrize("folder", ["low", "high"])
def test_two_components_of_one_name_are_both_named(choir: Package, folder: str) -> None:
    voices = choir({"low/a": component("bass"), f"{folder}/b": component("bass", "Deep")})
    with pytest.raises(ConfigError) as error:
        voices.names()
    assert f"called 'bass': choir.low.a.Voice1 and choir.{folder}.b.Deep; rename" in str(error.value)


def test_a_name_that_was_found_needs_no_extra(choir: Package, without: Callable[[str], None]) -> None:
    without("torch")
    voices = choir({"low/a": component("bass"), "high/a": component("treble", head="import torch\n")})
    assert voices.get("bass").name == "bass"
    assert voices.names() == ("bass",)
    assert voices.missing() == (Missing("choir.high.a", "torch"),)


def test_a_name_that_was_not_found_tells_which_extra_may_bring_it(
    choir: Package, without: Callable[[str], None]
) -> None:
    without("torch")
    voices = choir({"low/a": component("bass"), "high/a": component("treble", head="import torch.nn\n")})
    with pytest.raises(MissingExtraError) as error:
        voices.get("treble")
    assert str(error.value) == (
        "no voice is called 'treble' in this installation (there are bass). "
        "choir.high.a needs torch: pip install 'ensue[train]'"
    )
    with pytest.raises(MissingExtraError, match=r"Did you mean 'bass'\? choir\.high\.a needs torch"):
        voices.get("bas")


def test_a_whole_package_may_need_an_extra(choir: Package, without: Callable[[str], None]) -> None:
    without("onnxruntime")
    voices = choir({"low/a": component("bass"), "high/__init__": "import onnxruntime\n"})
    assert voices.names() == ("bass",)
    assert voices.missing()[0].remedy == "pip install 'ensue[run]'"


def test_any_other_failure_to_import_is_not_hidden(choir: Package) -> None:
    voices = choir({"low/a": "import no_such_library_anywhere\n"})
    with pytest.raises(ModuleNotFoundError, match="no_such_library_anywhere"):
        voices.names()


def test_a_component_without_a_name_or_not_frozen_is_a_fault(choir: Package) -> None:
    nameless = component("bass").replace("name: ClassVar[str] = 'bass'", "pass")
    with pytest.raises(TypeError, match=r"choir\.low\.a\.Voice1 declares no `name"):
        choir({"low/a": nameless}).names()


@pytest.mark.parametrize(
    "text",
    [
        component("bass", frozen=False),
        component("bass").replace("@data", "# @data"),
        component("bass") + "\nclass Voice2(Voice1):\n    name: ClassVar[str] = 'deep'\n",
    ],
)
def test_a_component_that_is_not_a_frozen_dataclass_is_a_fault(choir: Package, text: str) -> None:
    with pytest.raises(TypeError, match=r"choir\.low\.a\.Voice[12] is not a frozen dataclass"):
        choir({"low/a": text}).names()


def test_a_subclass_does_not_inherit_the_name_of_a_component(choir: Package) -> None:
    more = component("bass") + "\n@dataclass(frozen=True)\nclass Deeper(Voice1):\n    pass\n"
    with pytest.raises(TypeError, match=r"Deeper declares no `name"):
        choir({"low/a": more}).names()


def test_other_packages_add_components_by_entry_points(choir: Package, tmp_path: Path) -> None:
    voices = choir({"low/a": component("bass"), "guest": component("tenor")})
    assert voices.names() == ("bass",)
    told = tmp_path / "guests-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: guests\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[choir.voices]\ntenor = choir.guest\n")
    assert voices.names() == ("bass",)  # nobody asked for guests
    asked = replace(voices, group="choir.voices")
    assert asked.names() == ("bass", "tenor")
    assert asked.get("tenor")().sound() == "la"
    (told / "entry_points.txt").write_text("[choir.voices]\ntenor = choir.gone\n")
    with pytest.raises(ModuleNotFoundError, match=r"choir\.gone"):
        asked.names()
