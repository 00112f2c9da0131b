"""Owns the page of a report: one HTML file, nothing from elsewhere, light or dark as the reader has it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NUM_COLORS = 6
STYLE = """
:root{color-scheme:light dark;--text:#1c2430;--faint:#5d6b7c;--line:#d5dbe3;--back:#fff;--card:#f6f8fa;
--c0:#1f6fb4;--c1:#c9541b;--c2:#2e8b57;--c3:#7a52a8;--c4:#a8791c;--c5:#b03a68;--good:#2e8b57;--bad:#c0392b;
--warm:#c9541b;--cold:#1f6fb4}
@media (prefers-color-scheme:dark){:root{--text:#e4e9f0;--faint:#9aa8b8;--line:#3a4450;--back:#14181e;
--card:#1d232b;--c0:#6cb2eb;--c1:#f0955c;--c2:#6fcf97;--c3:#b794e0;--c4:#d9b25a;--c5:#e585ad;--good:#6fcf97;
--bad:#ff7b6b;--warm:#f0955c;--cold:#6cb2eb}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:1.2rem 1rem 4rem;background:var(--back);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.5rem;margin:.2rem 0}
h2{font-size:1.15rem;margin:2rem 0 .4rem;border-bottom:1px solid var(--line)}
p{margin:.4rem 0;max-width:78ch}p.faint,td.faint{color:var(--faint)}
code{font-size:.9em;overflow-wrap:anywhere}
.charts{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr))}
figure{margin:0;padding:.5rem;background:var(--card);border-radius:6px;min-width:0}
figure.wide{overflow-x:auto}figure.large{max-width:620px}figcaption{font-size:.85rem;font-weight:600;overflow-wrap:anywhere}
figcaption span{display:inline-block;font-weight:400;margin-left:.7em}figcaption span::before{content:"■ "}
svg{display:block;width:100%;height:auto}svg text{font-size:9.5px;fill:var(--faint)}
.axis{stroke:var(--faint)}.grid{stroke:var(--line);stroke-width:.6}.rule{stroke:var(--faint);stroke-width:.8}.band{fill:var(--faint);fill-opacity:.16}
path{fill:none;stroke-width:1.5}path.faint{stroke-dasharray:4 3;opacity:.7}
path.points{stroke-width:2.4;stroke-linecap:round}
.warm{fill:var(--warm)}.cold{fill:var(--cold)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;margin:.4rem 0}
th,td{padding:.22rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child,.t2 td:nth-child(2),.t2 th:nth-child(2){text-align:left}th{font-weight:600}
.heat{display:block;margin:-.22rem -.7rem;padding:.22rem .7rem;
background:color-mix(in srgb,var(--c0) calc(var(--share)*55%),transparent)}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(130px,1fr));gap:.6rem 1rem;margin:.6rem 0}
dt{color:var(--faint);font-size:.8rem}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:600px){th,td{white-space:normal;padding:.2rem .35rem}
.heat{margin:-.2rem -.35rem;padding:.2rem .35rem}}
.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}
""" + "".join(
    f".s{i}{{stroke:var(--c{i})}}.f{i}{{fill:var(--c{i})}}.k{i}::before{{color:var(--c{i})}}"
    for i in range(6)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what is below it, as markup."""

    title: str
    body: str


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML; the same content gives the same bytes."""
    parts = "".join(f"<section><h2>{escape(s.title)}</h2>{s.body}</section>" for s in sections)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head>'
        f'<body><h1>{escape(title)}</h1><p class="faint">{escape(subtitle)}</p>{parts}</body></html>\n'
    )


class Markup(str):
    """HTML of our own making; any other text may come from a CSV."""

    __slots__ = ()


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, num_texts: int = 1) -> str:
    """Return a table whose first `num_texts` columns are texts; what is no `Markup` is escaped."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    within = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="t{num_texts}">{within}</table></div>'


def verdict(*, is_fine: bool, text: str) -> Markup:
    """Return `text` marked as fine or not."""
    mark = "✓" if is_fine else "✗"
    return Markup(f'<span class="{"good" if is_fine else "bad"}">{mark} {escape(text)}</span>')


def heat(text: str, share: float) -> Markup:
    """Return `text` on a ground that is the darker the nearer `share` is to 1."""
    return Markup(f'<span class="heat" style="--share:{share:.3f}">{escape(text)}</span>')


def facts(values: Mapping[str, str]) -> str:
    """Return names and values side by side, as many as there is room for; underscores become blanks."""
    pairs = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(value)}</dd></div>"
        for name, value in values.items()
    )
    return f'<dl class="facts">{pairs}</dl>'


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def charts(figures: Sequence[str]) -> str:
    """Return figures side by side, as many as there is room for."""
    return f'<div class="charts">{"".join(figures)}</div>'


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Markup) else escape(cell)
