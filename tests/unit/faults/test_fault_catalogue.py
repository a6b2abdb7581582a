"""The catalogue page, made from the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from stormproof.faults import KINDS, Fault
from stormproof.faults.catalogue import AREAS, catalogue_page, main, read_docstring
from stormproof.faults.fields import specs_of
from stormproof.faults.when import POINTS

OURS = [kind for kind in KINDS.values() if kind.__module__.startswith("stormproof.faults")]


def test_the_page_is_up_to_date(repository: Path) -> None:
    page = repository / "docs/reference/faults.md"
    hint = "write it anew: python -m stormproof.faults.catalogue docs/reference/faults.md"
    assert page.read_text(encoding="utf-8") == catalogue_page(), hint


def test_the_page_names_every_kind_field_and_point() -> None:
    page = catalogue_page()
    for kind in OURS:
        assert f"### {kind.__name__}\n\n`{kind.kind}`, weight {kind.weight} in the default mix" in page
    for point in POINTS:
        if not point.startswith("test."):
            assert f"| `{point}` |" in page


@pytest.mark.parametrize("kind", OURS, ids=[kind.kind for kind in OURS])
def test_each_kind_says_what_it_models_where_it_applies_and_its_fields(kind: type[Fault]) -> None:
    text, arguments = read_docstring(kind)
    assert "**In the real world:**" in text
    assert "**Applies to:**" in text
    assert kind.area in AREAS
    own = [name for name in specs_of(kind) if name not in ("when", "duration_us")]
    assert [name for name in arguments if name != "duration_us"] == own
    for name, meaning in arguments.items():
        if name.endswith("_us"):
            assert "icrosecond" in meaning or name == "duration_us", f"{name} has no unit"


def test_the_page_is_written_to_a_file_or_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path / "deep" / "page.md")])
    assert (tmp_path / "deep" / "page.md").read_text(encoding="utf-8") == catalogue_page()
    main([])
    assert capsys.readouterr().out == catalogue_page()
