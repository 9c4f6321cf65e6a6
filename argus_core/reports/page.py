"""The frame of an HTML report: style sheet, sections, tables, tiles. Everything that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from argus_core.reports.words import DASH

STYLE = """
:root{--ink:#1d2430;--quiet:#667080;--line:#e8eaee;--paper:#f6f7f9;--card:#fff;--blue:#2a6fdb;--red:#b8432c;
--amber:#9a6200;--green:#0f7360}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 Inter,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1240px;margin:0 auto;padding:40px 24px 64px}
header{margin-bottom:28px}
a{color:var(--blue)}
.brand{font-size:13px;letter-spacing:.08em;text-transform:uppercase;color:var(--quiet);margin:0 0 10px}
h1{font-size:clamp(28px,4.4vw,42px);line-height:1.15;letter-spacing:-.02em;margin:0 0 12px;font-weight:680}
h1.none{color:var(--ink)}h1.some{color:var(--green)}
.lead{font-size:18px;max-width:76ch;margin:0;color:#38414f}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:24px 26px;margin:18px 0}
h2{font-size:20px;line-height:1.3;letter-spacing:-.01em;margin:0 0 4px;font-weight:640}
h3{font-size:15px;margin:22px 0 6px;font-weight:620}
.say{margin:0 0 14px;color:var(--quiet);max-width:86ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:22px 0 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tile b{display:block;font-size:26px;line-height:1.2;letter-spacing:-.02em;font-weight:660}
.tile span{font-size:13px;color:var(--quiet)}
.scroll{overflow-x:auto;margin:0 -6px;padding:0 6px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-weight:560;color:var(--quiet);text-align:left;padding:6px 10px 8px;border-bottom:1px solid #d6dae1;
white-space:nowrap;font-size:13px}
td{padding:8px 10px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;white-space:nowrap}
td.w{min-width:200px}td.w.wide{min-width:290px}
.tall{max-height:640px;overflow:auto;border-bottom:1px solid var(--line)}
.tall th{position:sticky;top:0;background:var(--card)}
.dense table{font-size:13px}.dense td,.dense th{padding-left:7px;padding-right:7px}
.keep{white-space:nowrap}.dim{color:var(--quiet)}.neg{color:var(--red)}
.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12.5px}
.chip{display:inline-block;border-radius:999px;padding:1px 9px;font-size:12px;font-weight:560;white-space:nowrap;
margin:1px 3px 1px 0;background:#eef0f4;color:#414b5a}
.chip.kill{background:#fbeae6;color:var(--red)}.chip.live{background:#e2f4ef;color:var(--green)}
.more{color:var(--quiet);font-size:13px;margin:10px 0 0}
.two{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,430px),1fr));gap:8px 36px}
.two>*,.three>*,.four>*{min-width:0}
.three{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr));gap:4px 28px}
.four{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,240px),1fr));gap:4px 28px}
h3.small{font-size:13px;color:var(--quiet);margin:12px 0 0;font-weight:560}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 18px;margin:0;font-size:14px}
dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--quiet);font-size:13px;margin-top:26px}
@media (max-width:640px){main{padding:24px 12px 48px}section{padding:18px 14px;border-radius:10px}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}}
@media print{.tall{max-height:none}body{background:#fff}section{break-inside:avoid;border-color:#ccc}}
"""


@dataclass(frozen=True)
class Column:
    """One table column: title, and whether it holds numbers (right-aligned) or words (given room)."""

    title: str
    kind: str = ""


@dataclass(frozen=True)
class Html:
    """A cell that is HTML already."""

    text: str


def text(value: object) -> str:
    """``value`` escaped; None as a dash."""
    return DASH if value is None else escape(str(value))


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, tall: bool = False) -> str:
    """A table that scrolls sideways where it has no room, and downwards under its head where ``tall``.

    Cells: text, None, or `Html`.
    """
    classes = {"number": "n", "words": "w", "many words": "w wide"}
    kinds = [f' class="{classes[c.kind]}"' if c.kind in classes else "" for c in columns]
    head = "".join(f"<th{kind}>{text(c.title)}</th>" for c, kind in zip(columns, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    kind = "scroll tall" if tall else "scroll"
    return f'<div class="{kind}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, say: str, *parts: str) -> str:
    """A card with a title and a sentence that says how to read it."""
    intro = f'<p class="say">{text(say)}</p>' if say else ""
    return f"<section><h2>{text(title)}</h2>{intro}{''.join(parts)}</section>"


def tiles(entries: Iterable[tuple[str, str]]) -> str:
    """Big numbers with a caption each."""
    body = "".join(
        f'<div class="tile"><b>{text(value)}</b><span>{text(label)}</span></div>' for value, label in entries
    )
    return f'<div class="tiles">{body}</div>'


def definitions(entries: Iterable[tuple[str, object]]) -> str:
    """Names and values, one per line."""
    body = "".join(f"<dt>{text(name)}</dt><dd>{_cell(value)}</dd>" for name, value in entries)
    return f"<dl>{body}</dl>"


def chip(label: str, kind: str = "") -> str:
    return f'<span class="chip {kind}">{text(label)}</span>'


def page(title: str, body: str, script: str) -> str:
    """A whole document without a single outside reference."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style><script>{script}</script></head>"
        # Figures measure their room while the page is still being read: let them measure again when it is whole.
        f"<body><main>{body}</main><script>addEventListener('load',()=>dispatchEvent(new Event('resize')))</script>"
        "</body></html>\n"
    )


def _cell(value: object) -> str:
    return value.text if isinstance(value, Html) else text(value)
