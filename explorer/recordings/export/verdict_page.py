"""A verdict as one page that opens anywhere without a network or a script: the table, the sentences, the spaces."""

from __future__ import annotations

import base64
import hashlib
import html

from explorer.words import numbers
from explorer.words.token_text import flowing
from explorer.words.verdicts import claim_sentence, further_value, interval_text, p_text, row_sentence, score
from probes.schema.verdict import Interval, Outcome, TaskVerdict, Verdict

_STYLE = """
:root { color-scheme: light dark; --back: #fbfaf8; --panel: #fff; --text: #1c2127; --muted: #5d6369; --line: #d9d6cf;
  --dense: #1d5fa6; --pruned: #b04a00; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --panel: #1a1e24; --text: #dfe3e8; --muted: #949da8;
  --line: #333b45; --dense: #6cb0f5; --pruned: #ffa24a; } }
body { margin: 0 auto; padding: 1.2rem; max-width: 72rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; font-variant-numeric: tabular-nums; }
h1 { margin: 0; font-size: 1.4rem; overflow-wrap: anywhere; } h2 { margin: 1.4rem 0 .3rem; font-size: .95rem; }
.dense, .safe { color: var(--dense); } .pruned, .broken { color: var(--pruned); }
.facts, footer { color: var(--muted); }
.wide { overflow-x: auto; } table { border-collapse: collapse; background: var(--panel); font-size: .9rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
th { color: var(--muted); font-weight: 500; } .claim { font-weight: 600; } svg { max-width: 100%; height: auto; }
svg text { fill: var(--text); font-size: 12px; } .axis { stroke: var(--muted); } .margin { stroke: var(--pruned);
  stroke-dasharray: 3 3; } .h { fill: var(--dense); opacity: .35; } .z { fill: var(--dense); opacity: .65; }
.p { fill: var(--dense); } details { margin: .4rem 0; } .note { font-size: .9rem; }
"""

_LEGEND = (
    "Scores are shares of right answers in percent, with Wilson intervals. Differences are pruned minus dense, paired, "
    "with Newcombe's intervals (those of a bootstrap for other scores). p is McNemar's, exact. Safe: the whole "
    "interval is above minus the margin. Broken: all of it is below. Made with phier."
)


def verdict_page(found: Verdict) -> bytes:
    """The page. Names and notes are data: they are escaped, and the page's policy lets no script run."""
    setting = found.setting or found.pruned
    style_hash = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    rules = f"Margin {100 * found.margin:g} points · intervals of {100 * found.level:g} %"
    done = "" if found.final else f" · {found.done:,} of {found.of:,} items so far"
    claim = claim_sentence(found)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ',
        f"style-src 'sha256-{style_hash}'; base-uri 'none'; form-action 'none'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_safe(f'{found.dense} ⇄ {setting}')}</title><style>{_STYLE}</style></head><body><main>",
        f'<h1><span class="dense">{_safe(found.dense)}</span> ⇄ <span class="pruned">{_safe(setting)}</span></h1>',
        f'<p class="facts">{rules}{done}</p>',
        f'<p class="claim">{_safe(claim)}</p>' if claim else "",
        _scores(found),
        _spaces(found),
        *(_further(row) for row in found.rows if row.more),
        *(f'<p class="note">{_safe(note)}</p>' for note in found.notes),
        f"<footer>{_LEGEND}</footer></main></body></html>",
    ]
    return "".join(parts).encode("utf-8", "replace")


def _safe(text: str) -> str:
    return html.escape(flowing(text))


def _cell(of: Interval, *, signed: bool = False) -> str:
    return f"<td>{interval_text(of.value, of.low, of.high, signed=signed)}</td>"


def _scores(found: Verdict) -> str:
    head = "".join(
        f"<th>{name}</th>" for name in ("task", "items", "dense %", "pruned %", "difference", "p", "agree", "verdict")
    )
    body = "".join(_score_row(row) for row in found.rows)
    said = "".join(
        f"<dt>{_safe(row.task)}</dt><dd>{_safe(row_sentence(row, found.margin, found.level))}</dd>"
        for row in found.rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div><dl>{said}</dl>'


def _score_row(row: TaskVerdict) -> str:
    items = f"{row.items:,}" if row.final else f"{row.items:,} of {row.of:,}"
    cells = f"<td>{_safe(row.task)}</td><td>{items}</td>"
    if row.items:
        cells += _cell(row.dense) + _cell(row.pruned) + _cell(row.difference, signed=True)
        cells += f"<td>{p_text(row.mcnemar).replace('<', '&lt;')}</td><td>{score(row.agreement)}</td>"
    else:
        cells += f"<td>{numbers.NONE}</td>" * 5
    shown = str(row.outcome) if row.items else ""
    kind = shown if row.outcome in (Outcome.SAFE, Outcome.BROKEN) else ""
    return f'<tr>{cells}<td class="{kind}">{shown}</td></tr>'


_WIDE, _NAME, _LINE = 720, 150, 16
"""Of the drawing: its width, that of the names, the height of a bar."""


def _spaces(found: Verdict) -> str:
    """Three bars for each task, on one scale."""
    rows = [(row, row.spaces) for row in found.rows if row.spaces is not None]
    if not rows:
        return ""
    largest = max(max(spaces.h, spaces.z, spaces.p) for _, spaces in rows) or 1.0
    parts = []
    for place, (row, spaces) in enumerate(rows):
        top = place * (3 * _LINE + 14)
        parts.append(f'<text x="0" y="{top + 2 * _LINE - 4}">{_safe(row.task)}</text>')
        for number, name in enumerate("hzp"):
            value = max(0.0, getattr(spaces, name))
            y, wide = top + number * _LINE, (_WIDE - _NAME - 90) * value / largest
            parts.append(f'<text x="{_NAME - 14}" y="{y + 11}">{name}</text>')
            parts.append(f'<rect class="{name}" x="{_NAME}" y="{y}" width="{wide:.2f}" height="{_LINE - 3}"/>')
            parts.append(f'<text x="{_NAME + wide + 6:.2f}" y="{y + 11}">{numbers.significant(value, 2)}</text>')
    high = len(rows) * (3 * _LINE + 14)
    drawing = f'<svg viewBox="0 0 {_WIDE} {high}" width="{_WIDE}" role="img">{"".join(parts)}</svg>'
    return f"<h2>Lost in each space: 1 − cosine, means over the items</h2>{drawing}"


def _further(row: TaskVerdict) -> str:
    lines = []
    for one in row.more:
        pruned = "" if one.of_both else further_value(one, one.pruned)
        change = _cell(one.difference, signed=True) if one.difference is not None else "<td></td>"
        name, dense = _safe(one.name), further_value(one, one.dense)
        lines.append(f"<tr><td>{name}</td><td>{dense}</td><td>{pruned}</td>{change}<td>{one.items}</td></tr>")
    head = "<tr><th>figure</th><th>dense</th><th>pruned</th><th>difference</th><th>items</th></tr>"
    return (
        f"<details><summary>{_safe(row.task)}: further figures</summary><table>{head}{''.join(lines)}</table></details>"
    )
