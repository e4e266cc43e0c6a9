"""Flame graphs as one SVG file: hover says what a frame is, a click zooms, and a word or regular expression is searched for."""

from __future__ import annotations

import dataclasses
import html
import zlib
from typing import Iterable, Sequence

from tools.hakmem_lib.text import percent, size

_WIDTH = 1200
_ROW = 18
_TOP = 64
_BOTTOM = 30
_MARGIN = 10
_CHARACTER = 6.7  # of the font, as wide as they come
_LEAST = 0.0004  # of the whole: narrower frames cannot be seen


@dataclasses.dataclass
class Frame:
    """A function, called by the one below it."""

    name: str
    module: str = ""
    value: float = 0
    own: float = 0
    children: dict[tuple[str, str], "Frame"] = dataclasses.field(default_factory=dict)

    def child(self, name: str, module: str) -> Frame:
        """The one of that name, made where there is none."""
        return self.children.setdefault((name, module), Frame(name, module))


Call = tuple[str, str]  # function, module


def build(stacks: Iterable[tuple[Sequence[Call], float]]) -> Frame:
    """The tree of stacks, the outermost call first in each."""
    root = Frame("all")
    for calls, value in stacks:
        frame = root
        frame.value += value
        for name, module in calls:
            frame = frame.child(name, module)
            frame.value += value
        frame.own += value
    return root


def _color(module: str, name: str) -> str:
    """Warm, one hue a module, and never twice the same beside each other."""
    if not module:
        return "hsl(0,0%,80%)"
    hue = 12 + zlib.crc32(module.encode()) % 44
    light = 62 + zlib.crc32(name.encode()) % 14
    return f"hsl({hue},78%,{light}%)"


def _shown(name: str, width: float) -> str:
    most = int((width - 6) / _CHARACTER)
    if most < 3:
        return ""
    return name if len(name) <= most else name[: most - 1] + "…"


def _depth(frame: Frame, least: float) -> int:
    """Rows above the frame's. Recursion of the program's is deep, so none here."""
    deepest, pending = 0, [(frame, 0)]
    while pending:
        at, depth = pending.pop()
        deepest = max(deepest, depth)
        pending += [(child, depth + 1) for child in at.children.values() if child.value >= least]
    return deepest


def svg(root: Frame, title: str, subtitle: str) -> str:
    """The whole file."""
    whole = root.value or 1
    least = whole * _LEAST
    depth = _depth(root, least)
    height = _TOP + (depth + 1) * _ROW + _BOTTOM
    inner = _WIDTH - 2 * _MARGIN
    frames: list[str] = []
    pending = [(root, 0.0, 0)]
    while pending:
        frame, left, row = pending.pop()
        x, width = _MARGIN + left / whole * inner, frame.value / whole * inner
        y = height - _BOTTOM - (row + 1) * _ROW
        name, module = html.escape(frame.name), html.escape(frame.module)
        hover = f"{name}\n{size(frame.value)}, {percent(frame.value, whole)}"
        if frame.own and frame.children:
            hover += f", {size(frame.own)} of it itself"
        if module:
            hover += f"\n{module}"
        frames.append(
            f'<g class="f" data-x="{left / whole:.6f}" data-w="{frame.value / whole:.6f}" data-r="{row}">'
            f"<title>{hover}</title>"
            f'<rect x="{x:.2f}" y="{y}" width="{max(width, 0.1):.2f}" height="{_ROW - 1}" fill="{_color(frame.module, frame.name)}"/>'
            f'<text x="{x + 3:.2f}" y="{y + 13}">{html.escape(_shown(frame.name, width))}</text></g>'
        )
        at = left
        for child in sorted(frame.children.values(), key=lambda each: each.name):
            if child.value >= least:
                pending.append((child, at, row + 1))
            at += child.value
    settings = f"var W={_WIDTH},M={_MARGIN},C={_CHARACTER};"
    return _PAGE.format(
        width=_WIDTH, height=height, title=html.escape(title), subtitle=html.escape(subtitle), frames="\n".join(frames),
        middle=_WIDTH / 2, right=_WIDTH - _MARGIN, bottom=height - 10, script=settings + _SCRIPT, left=_MARGIN,
    )  # fmt: skip


_SCRIPT = """
var all=[].slice.call(document.querySelectorAll('g.f')).map(function(g){return {g:g,x:+g.dataset.x,w:+g.dataset.w,r:+g.dataset.r,
 rect:g.querySelector('rect'),text:g.querySelector('text'),name:g.querySelector('title').textContent.split('\\n')[0]};});
var zoomed=null,details=document.getElementById('details'),matched=document.getElementById('matched');
function fit(name,width){var most=Math.floor((width-6)/C);return most<3?'':name.length<=most?name:name.slice(0,most-1)+'\\u2026';}
function draw(){var x0=zoomed?zoomed.x:0,w0=zoomed?zoomed.w:1,scale=(W-2*M)/w0;
 all.forEach(function(f){var below=zoomed&&f.r<zoomed.r&&f.x<=x0+1e-7&&f.x+f.w>=x0+w0-1e-7;
  var inside=f.x>=x0-1e-7&&f.x+f.w<=x0+w0+1e-7&&(!zoomed||f.r>=zoomed.r);
  f.g.style.display=below||inside?'':'none';f.g.style.opacity=below?0.5:1;
  var x=below?M:M+(f.x-x0)*scale,w=below?W-2*M:f.w*scale;
  f.rect.setAttribute('x',x);f.rect.setAttribute('width',Math.max(w,0.1));
  f.text.setAttribute('x',x+3);f.text.textContent=fit(f.name,w);});
 document.getElementById('reset').style.display=zoomed?'':'none';}
function zoom(f){zoomed=f&&f.r>0?f:null;draw();}
function search(word){var pattern=null;try{pattern=word?new RegExp(word,'i'):null;}catch(e){pattern=null;}
 var spans=[];
 all.forEach(function(f){var hit=pattern!==null&&pattern.test(f.name);f.g.classList.toggle('hit',hit);if(hit)spans.push([f.x,f.x+f.w]);});
 spans.sort(function(a,b){return a[0]-b[0];});
 var sum=0,end=0;spans.forEach(function(s){if(s[1]>end){sum+=s[1]-Math.max(s[0],end);end=s[1];}});
 matched.textContent=pattern===null?'':'matched: '+(100*sum).toFixed(1)+' %';}
all.forEach(function(f){f.g.addEventListener('click',function(){zoom(f);});
 f.g.addEventListener('mouseover',function(){details.textContent=f.g.querySelector('title').textContent.replace(/\\n/g,' \\u2014 ');});
 f.g.addEventListener('mouseout',function(){details.textContent='';});});
document.getElementById('reset').addEventListener('click',function(){zoom(null);});
document.getElementById('search').addEventListener('click',function(){var word=prompt('Search for (regular expression):','');if(word!==null)search(word);});
document.addEventListener('keydown',function(e){if(e.key==='Escape'){zoom(null);search('');}});
"""

_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<svg version="1.1" xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<style>
text {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 11px; fill: #222; pointer-events: none; }}
#title {{ font-size: 16px; }}
#subtitle {{ fill: #666; }}
.button {{ pointer-events: all; cursor: pointer; fill: #26c; }}
.f {{ cursor: pointer; }}
.f:hover rect {{ stroke: #222; stroke-width: 1; }}
.hit rect {{ fill: #b35cf0; }}
</style>
<rect width="{width}" height="{height}" fill="#fffdf8"/>
<text id="title" x="{middle}" y="24" text-anchor="middle">{title}</text>
<text id="subtitle" x="{middle}" y="42" text-anchor="middle">{subtitle}</text>
<text id="reset" class="button" x="{left}" y="24" style="display:none">reset zoom</text>
<text id="search" class="button" x="{right}" y="24" text-anchor="end">search</text>
<text id="matched" x="{right}" y="{bottom}" text-anchor="end"></text>
<text id="details" x="{left}" y="{bottom}"></text>
{frames}
<script type="text/ecmascript"><![CDATA[{script}]]></script>
</svg>
"""
