"use strict";
// Draws the heap that the element #data has (model.py says what is in it). Four parts: what the data says, where things
// lie, how they are drawn, and what people do. Lengths are in units of 64 KiB until `scale` makes them pixels.

const UNIT_BYTES = 65536;
const UNITS = 32;
const SUPERSLAB_BYTES = UNIT_BYTES * UNITS;
const SPAN = 255;
const LIVE = 0, CACHED = 1, REMOTE = 2, FREE = 3;
const STATES = ["live", "cached", "remote", "free"];
const STATE_LABELS = {
  live: "live", cached: "cached by a thread", remote: "freed by another thread", free: "free in its slab",
  tail: "tail of a slab", room: "room to grow", unused: "unused unit", dirty: "unused, not returned",
  idle: "freed whale", unknown: "changed meanwhile",
};

// --- What the data says ---

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** A byte for each of `count` bits; null: not known. */
function bitsOf(text, count) {
  if (text === null) return null;
  const out = new Uint8Array(count);
  if (text === "") return out;
  if (text === "*") return out.fill(1);
  const bytes = atob(text);
  for (let i = 0; i < count; i++) out[i] = (bytes.charCodeAt(i >> 3) >> (i & 7)) & 1;
  return out;
}

class Slab {
  constructor(superslab, row, classes) {
    [this.first, this.units, this.sizeClass, this.owner, this.room, this.asked, this.free, this.cached, this.remote] = row;
    this.superslab = superslab;
    this.isSpan = this.sizeClass === SPAN;
    this.blockBytes = this.isSpan ? this.units * UNIT_BYTES : classes[this.sizeClass][0];
    this.blocks = this.isSpan ? 1 : classes[this.sizeClass][1];
    this.live = Math.max(this.blocks - this.free - this.cached - this.remote, 0);
    this.base = superslab.base + this.first * UNIT_BYTES;
    this.tailBytes = this.units * UNIT_BYTES - this.blocks * this.blockBytes;
    this.texts = row.slice(9, 12);
    this.hasBlocks = this.texts[0] !== null;
    const change = row[12] || ["same", 0, 0, "", "", ""];
    [this.change, this.gained, this.lost, this.gainedText, this.lostText, this.was] = change;
    // Blocks lie in columns, from left to right as their addresses do.
    this.columns = Math.max(1, Math.ceil(Math.sqrt(this.blocks * this.units)));
    this.rows = Math.ceil(this.blocks / this.columns);
    this.columns = Math.ceil(this.blocks / this.rows);
  }

  /** State of each block, or null where only the counts are known. */
  states() {
    if (!this.hasBlocks) return null;
    if (!this._states) {
      const out = new Uint8Array(this.blocks);
      [[0, FREE], [1, CACHED], [2, REMOTE]].forEach(([which, state]) => {
        if (this.texts[which] === "") return;
        const bits = bitsOf(this.texts[which], this.blocks);
        for (let i = 0; i < bits.length; i++) if (bits[i]) out[i] = state;
      });
      this._states = out;
    }
    return this._states;
  }

  /** 1: handed out since the first look, 2: freed, 0: as it was; of each block, or null. */
  changes() {
    if (this.gainedText === null || this.lostText === null) return null;
    if (!this._changes) {
      const gained = bitsOf(this.gainedText, this.blocks), lost = bitsOf(this.lostText, this.blocks);
      this._changes = gained.map((bit, i) => (bit ? 1 : lost[i] ? 2 : 0));
    }
    return this._changes;
  }

  /** Whether memory backs any byte of a block; null: nobody says. */
  isResident(block) {
    const at = this.first * UNIT_BYTES + block * this.blockBytes;
    return this.superslab.anyResident(at, at + this.blockBytes);
  }
}

class SuperSlab {
  constructor(row, data) {
    [this.base, this.number, this.freeUnits, this.dirtyUnits, this.ageMs] = row;
    this.bytes = SUPERSLAB_BYTES;
    this.change = row[7];
    this.pageBytes = data.page_bytes;
    this.resident = bitsOf(row[5], SUPERSLAB_BYTES / data.page_bytes);
    this.slabs = row[6].map((slab) => new Slab(this, slab, data.classes));
    this.pieces = this.cut();
  }

  /** All units, as what they are: {kind, first, units, slab}. */
  cut() {
    const out = [];
    let at = 0;
    const upTo = (end) => {
      for (; at < end; at++) {
        const isFree = (this.freeUnits >>> at) & 1;
        const isDirty = (this.dirtyUnits >>> at) & 1;
        out.push({ superslab: this, kind: isFree ? (isDirty ? "dirty" : "unused") : "unknown", first: at, units: 1, slab: null });
      }
    };
    for (const slab of this.slabs) {
      if (slab.first < at) continue;
      upTo(slab.first);
      out.push({ superslab: this, kind: slab.isSpan ? "span" : "slab", first: at, units: slab.units, slab });
      at += slab.units;
      if (slab.room) out.push({ superslab: this, kind: "room", first: at, units: slab.room, slab });
      at += slab.room;
    }
    upTo(UNITS);
    return out;
  }

  anyResident(from, to) {
    if (!this.resident) return null;
    const last = Math.min(Math.ceil(to / this.pageBytes), this.resident.length);
    for (let page = Math.floor(from / this.pageBytes); page < last; page++) if (this.resident[page]) return true;
    return false;
  }

  /** Resident bytes of some units; null: nobody says. */
  residentBytes(first, units) {
    if (!this.resident) return null;
    const perUnit = UNIT_BYTES / this.pageBytes;
    let pages = 0;
    for (let page = first * perUnit; page < (first + units) * perUnit; page++) pages += this.resident[page];
    return pages * this.pageBytes;
  }
}

class Whale {
  constructor(row) {
    [this.base, this.bytes, this.state, this.ageMs, this.residentBytes] = row;
    this.cells = Uint8Array.from(atob(row[5]), (letter) => letter.charCodeAt(0));
    this.change = row[6];
  }
}

class Heap {
  constructor(data) {
    this.data = data;
    this.classes = data.classes;
    this.owners = data.heaps.map(([address, state, tid, name]) => ({ address, state, tid, name }));
    this.superslabs = data.superslabs.map((row) => new SuperSlab(row, data));
    this.whales = data.whales.map((row) => new Whale(row));
    this.isDiff = data.old !== null;
  }

  ownerName(index) {
    const owner = this.owners[index];
    if (!owner) return "no thread";
    const isNamed = owner.tid || owner.name;
    return isNamed ? `${owner.tid || owner.state} ${owner.name}` : `${owner.state} heap ${hex(owner.address)}`;
  }
}

/** What is shown: {sizeClass, owner, resident, state, change}, each null for all. */
function matchesSlab(filter, slab) {
  if (filter.sizeClass !== null && slab.sizeClass !== filter.sizeClass) return false;
  if (filter.owner !== null && slab.owner !== filter.owner) return false;
  if (filter.change !== null && !matchesChange(filter.change, slab)) return false;
  return true;
}

function matchesChange(change, slab) {
  if (change === "gained") return slab.gained > 0;
  if (change === "lost") return slab.lost > 0;
  return slab.change === change;
}

function matchesBlock(filter, slab, block, states, changes) {
  if (filter.state !== null && STATES[states[block]] !== filter.state) return false;
  if (filter.change === "gained" && changes && changes[block] !== 1) return false;
  if (filter.change === "lost" && changes && changes[block] !== 2) return false;
  if (filter.resident !== null && slab.isResident(block) !== filter.resident) return false;
  return true;
}

/** A piece that is no slab: units that nobody uses, and rooms. */
function matchesPiece(filter, piece) {
  if (filter.sizeClass !== null || filter.owner !== null) return false;
  if (filter.state !== null && filter.state !== piece.kind) return false;
  if (filter.change !== null && piece.superslab.change !== filter.change) return false;
  const { first, units, superslab } = piece;
  return filter.resident === null || superslab.anyResident(first * UNIT_BYTES, (first + units) * UNIT_BYTES) === filter.resident;
}

function matchesWhale(filter, whale) {
  if (filter.sizeClass !== null && filter.sizeClass !== "whale") return false;
  if (filter.owner !== null) return false;
  if (filter.state !== null && filter.state !== (whale.state === "live" ? "live" : "idle")) return false;
  if (filter.change !== null && whale.change !== filter.change) return false;
  return filter.resident === null || (whale.residentBytes !== null && whale.residentBytes > 0 === filter.resident);
}

/** How many blocks of each state a slab shows. Of a slab whose blocks are not known one by one, all or none. */
function countSlab(filter, slab) {
  const all = [slab.live, slab.cached, slab.remote, slab.free];
  if (!matchesSlab(filter, slab)) return [0, 0, 0, 0];
  const byBlock = filter.resident !== null || filter.change === "gained" || filter.change === "lost";
  const states = byBlock ? slab.states() : null;
  if (!states) return all.map((count, state) => (filter.state === null || STATES[state] === filter.state ? count : 0));
  const out = [0, 0, 0, 0], changes = slab.changes();
  for (let block = 0; block < slab.blocks; block++) if (matchesBlock(filter, slab, block, states, changes)) out[states[block]]++;
  return out;
}

/** Blocks and bytes of what is shown, by where they are. What vanished is not there any more, and does not count. */
function count(heap, filter) {
  const out = {};
  for (const name of Object.keys(STATE_LABELS)) out[name] = { blocks: 0, bytes: 0 };
  const add = (name, blocks, bytes) => { out[name].blocks += blocks; out[name].bytes += bytes; };
  for (const superslab of heap.superslabs) {
    if (superslab.change === "vanished") continue;
    for (const piece of superslab.pieces) {
      const slab = piece.slab;
      if (piece.kind === "slab" || piece.kind === "span") {
        if (slab.change === "vanished") {
          addUnits(superslab, slab.first, slab.units);
          continue;
        }
        countSlab(filter, slab).forEach((blocks, state) => add(STATES[state], blocks, blocks * slab.blockBytes));
        if (matchesSlab(filter, slab) && filter.state === null && filter.resident === null) add("tail", 0, slab.tailBytes);
      } else if (matchesPiece(filter, piece)) {
        add(piece.kind, 0, piece.units * UNIT_BYTES);
      }
    }
  }
  function addUnits(superslab, first, units) {
    for (let unit = first; unit < first + units; unit++) {
      const isDirty = (superslab.dirtyUnits >>> unit) & 1;
      const kind = (superslab.freeUnits >>> unit) & 1 ? (isDirty ? "dirty" : "unused") : "unknown";
      if (matchesPiece(filter, { superslab, kind, first: unit, units: 1 })) add(kind, 0, UNIT_BYTES);
    }
  }
  for (const whale of heap.whales) {
    if (whale.change !== "vanished" && matchesWhale(filter, whale)) add(whale.state === "live" ? "live" : "idle", 1, whale.bytes);
  }
  return out;
}

// --- Text ---

function hex(address) { return "0x" + address.toString(16); }

function sizeText(bytes) {
  const sign = bytes < 0 ? "−" : "";
  let value = Math.abs(bytes);
  if (value < 1024) return `${sign}${value} B`;
  for (const unit of ["KiB", "MiB", "GiB"]) {
    value /= 1024;
    if (value < 1024) return `${sign}${value.toFixed(1)} ${unit}`;
  }
  return `${sign}${(value / 1024).toFixed(1)} TiB`;
}

function ageText(ms) {
  if (ms === null) return "not known";
  if (ms < 1000) return `${ms} ms`;
  if (ms < 120000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 7200000 ? `${Math.round(ms / 60000)} min` : `${(ms / 3600000).toFixed(1)} h`;
}

function counted(number) { return number.toLocaleString("en-GB"); }

/** What a place is, in lines. */
function describe(heap, hit) {
  const lines = [];
  if (hit.whale) {
    const whale = hit.whale;
    lines.push(`whale at ${hex(whale.base)}, ${sizeText(whale.bytes)}`, `state: ${whale.state}`);
    if (whale.residentBytes !== null) lines.push(`resident: ${sizeText(whale.residentBytes)}`);
    if (whale.state !== "live") lines.push(`freed: ${ageText(whale.ageMs)} ago`);
    if (heap.isDiff) lines.push(`change: ${whale.change}`);
    return lines;
  }
  const { superslab, piece } = hit, slab = piece.slab;
  if (piece.kind === "slab" || piece.kind === "span") {
    if (slab.isSpan) {
      lines.push(`span at ${hex(slab.base)}, ${sizeText(slab.blockBytes)}`, "state: live");
      if (slab.asked) lines.push(`asked for: ${counted(slab.asked)} bytes`);
      if (slab.room) lines.push(`room to grow: ${slab.room} units`);
    } else {
      if (hit.block >= 0) {
        const states = slab.states();
        lines.push(`block ${hit.block} of ${slab.blocks} at ${hex(slab.base + hit.block * slab.blockBytes)}`);
        lines.push(`state: ${states ? STATE_LABELS[STATES[states[hit.block]]] : "not on this page"}`);
        const resident = slab.isResident(hit.block);
        lines.push(`resident: ${resident === null ? "not known" : resident ? "yes" : "no"}`);
        const changes = slab.changes();
        if (heap.isDiff && changes) lines.push(`since: ${["as it was", "handed out", "freed"][changes[hit.block]]}`);
        lines.push("");
      }
      lines.push(`slab at ${hex(slab.base)}, class ${slab.sizeClass}: blocks of ${sizeText(slab.blockBytes)}`);
      lines.push(`live ${counted(slab.live)}, cached ${counted(slab.cached)}, remote ${counted(slab.remote)}, free ${counted(slab.free)}`);
      lines.push(`of: ${heap.ownerName(slab.owner)}`);
      if (slab.tailBytes) lines.push(`tail: ${sizeText(slab.tailBytes)}`);
    }
    if (heap.isDiff) {
      lines.push(`change: ${slab.change}; handed out ${counted(slab.gained)}, freed ${counted(slab.lost)}`);
      if (slab.was) lines.push(`before: ${slab.was}`);
    }
  } else {
    lines.push(piece.kind === "room" ? `room for the span at ${hex(slab.base)} to grow` : STATE_LABELS[piece.kind]);
  }
  const bytes = superslab.residentBytes(piece.first, piece.units);
  const last = piece.first + piece.units - 1;
  lines.push(`${last > piece.first ? `units ${piece.first} to ${last}` : `unit ${last}`}, resident: ${bytes === null ? "not known" : `${sizeText(bytes)} of ${sizeText(piece.units * UNIT_BYTES)}`}`);
  lines.push("", `SuperSlab ${superslab.number} at ${hex(superslab.base)}`, `a unit was freed last: ${superslab.ageMs === null ? "not known" : ageText(superslab.ageMs) + " ago"}`);
  if (heap.isDiff) lines.push(`change: ${superslab.change}`);
  return lines;
}

// --- Where things lie ---

const STRIP = 1.62, GAP = 2, LABEL = 0.3, BAND_AT = 1.06, BAND = 0.16;

/** Places for all SuperSlabs and whales, in columns that fill a window of this shape. */
function layOut(heap, aspect) {
  const rowsOf = (bytes) => Math.min(8, Math.ceil(bytes / SUPERSLAB_BYTES));
  const heights = heap.superslabs.map(() => STRIP).concat(heap.whales.map((whale) => rowsOf(whale.bytes) + STRIP - 1));
  const things = heap.superslabs.concat(heap.whales);
  const total = heights.reduce((sum, height) => sum + height, 0);
  let columns = 1;
  while (columns < things.length && (columns * (UNITS + GAP)) / (total / columns) < aspect * 0.8) columns++;
  const limit = total / columns;
  const places = [];
  let x = 0, y = 0, tallest = 0;
  things.forEach((thing, i) => {
    if (y > 0 && y + heights[i] / 2 > limit && x < (columns - 1) * (UNITS + GAP)) {
      x += UNITS + GAP;
      y = 0;
    }
    const isWhale = thing instanceof Whale;
    const width = isWhale ? Math.min(UNITS, thing.bytes / UNIT_BYTES) : UNITS;
    places.push({ thing, isWhale, x, y: y + LABEL, width, height: isWhale ? rowsOf(thing.bytes) : 1 });
    y += heights[i];
    tallest = Math.max(tallest, y);
  });
  return { places, width: x + UNITS, height: Math.max(tallest, STRIP) };
}

/** What lies at a point of the layout; null: nothing. */
function hitAt(layout, x, y) {
  const place = layout.places.find((it) => x >= it.x && x < it.x + it.width && y >= it.y && y < it.y + it.height + 0.25);
  if (!place) return null;
  if (place.isWhale) return { place, whale: place.thing };
  const unit = Math.min(Math.floor(x - place.x), UNITS - 1);
  const piece = place.thing.pieces.find((it) => unit >= it.first && unit < it.first + it.units);
  const hit = { place, superslab: place.thing, piece, block: -1 };
  if (piece.kind === "slab" && y < place.y + 1) {
    const slab = piece.slab;
    const column = Math.floor(((x - place.x - piece.first) / piece.units) * slab.columns);
    const row = Math.floor((y - place.y) * slab.rows);
    const block = column * slab.rows + row;
    if (block < slab.blocks) hit.block = block;
  }
  return hit;
}

/** Where an address lies: {x, y, hit}; null: not in the heap. */
function placeOf(layout, address) {
  const place = layout.places.find((it) => address >= it.thing.base && address < it.thing.base + it.thing.bytes);
  if (!place) return null;
  if (place.isWhale) return { x: place.x + place.width / 2, y: place.y + 0.5, size: place.width };
  const offset = address - place.thing.base;
  const piece = place.thing.pieces.find((it) => offset < (it.first + it.units) * UNIT_BYTES);
  if (piece.kind !== "slab") return { x: place.x + piece.first + piece.units / 2, y: place.y + 0.5, size: piece.units };
  const slab = piece.slab;
  const block = Math.min(Math.floor((offset - piece.first * UNIT_BYTES) / slab.blockBytes), slab.blocks - 1);
  const column = Math.floor(block / slab.rows), row = block % slab.rows;
  return {
    x: place.x + piece.first + ((column + 0.5) / slab.columns) * piece.units,
    y: place.y + (row + 0.5) / slab.rows,
    size: piece.units,
  };
}

// --- How they are drawn ---

/** From dark violet to yellow: told apart by lightness alone as well. */
function ramp(share) {
  const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2), part = at - low;
  return `rgb(${stops[low].map((value, i) => Math.round(value + (stops[low + 1][i] - value) * part)).join(",")})`;
}

const THREAD_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a00", "#6a51a3"];

class Painter {
  constructor(heap) {
    this.heap = heap;
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colours = {};
    for (const name of ["back", "text", "dim", "line", "live", "cached", "remote", "free", "unused", "dirty", "room", "tail",
      "unknown", "resident", "absent", "gained", "lost", "same", "mark"]) {
      this.colours[name] = style.getPropertyValue("--" + name).trim();
    }
    this.colours.idle = this.colours.cached;
  }

  /** Colour of a slab's taken blocks where it is not the state that gives it; null: it is. */
  slabColour(mode, slab) {
    if (mode === "class") return ramp(slab.isSpan ? 1 : slab.sizeClass / Math.max(this.heap.classes.length, 1));
    if (mode === "heap") return slab.owner < 0 ? this.colours.dirty : THREAD_COLOURS[slab.owner % THREAD_COLOURS.length];
    if (mode === "age") return this.ageColour(slab.superslab.ageMs);
    if (mode === "change") return slab.change === "appeared" ? this.colours.gained : slab.change === "vanished" ? this.colours.lost : this.colours.same;
    return null;
  }

  /** The younger the lighter, from a tenth of a second to ten hours. */
  ageColour(ms) {
    return ms === null ? this.colours.same : ramp(1 - Math.log10(Math.max(ms, 100) / 100) / Math.log10(360000));
  }

  draw(canvas, layout, view, mode, filter, selected) {
    const context = canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.colours.back;
    context.fillRect(0, 0, width, height);
    this.context = context;
    this.view = view;
    this.mode = mode;
    this.filter = filter;
    this.isAll = Object.values(filter).every((value) => value === null);
    for (const place of layout.places) {
      const x = (place.x - view.x) * view.scale, y = (place.y - view.y) * view.scale;
      const w = place.width * view.scale, h = place.height * view.scale;
      if (x > width || y > height || x + w < 0 || y + h + view.scale * 0.3 < 0) continue;
      this.clip = { left: 0, right: width };
      context.globalAlpha = 1;
      if (place.isWhale) this.whale(place, x, y, w, h);
      else this.superslab(place, x, y);
    }
    context.globalAlpha = 1;
    if (selected) this.outline(selected);
  }

  label(text, x, y) {
    if (this.view.scale < 26) return;
    this.context.globalAlpha = 1;
    this.context.fillStyle = this.colours.dim;
    this.context.font = `${Math.min(this.view.scale * 0.22, 13)}px system-ui, sans-serif`;
    this.context.fillText(text, Math.max(x, 4), y - this.view.scale * 0.06);
  }

  whale(place, x, y, w, h) {
    const { context, colours, view } = this, whale = place.thing;
    this.label(`whale ${hex(whale.base)}  ${sizeText(whale.bytes)}  ${whale.state}${whale.change === "same" ? "" : "  " + whale.change}`, x, y);
    const dim = matchesWhale(this.filter, whale) ? 1 : 0.1;
    context.globalAlpha = dim;
    const byMode = { age: whale.state === "live" ? colours.same : this.ageColour(whale.ageMs), class: ramp(1), heap: colours.dirty,
      change: whale.change === "appeared" ? colours.gained : whale.change === "vanished" ? colours.lost : colours.same };
    context.fillStyle = byMode[this.mode] || (whale.state === "live" ? colours.live : colours.idle);
    context.fillRect(x, y, w, h);
    if (whale.change === "vanished") this.hatch(x, y, w, h, colours.lost);
    if (!whale.cells.length) return;
    const bandHeight = this.mode === "resident" ? h : BAND * view.scale;
    const bandTop = this.mode === "resident" ? y : y + h + (BAND_AT - 1) * view.scale;
    context.fillStyle = colours.absent;
    context.fillRect(x, bandTop, w, bandHeight);
    context.fillStyle = colours.resident;
    const step = w / whale.cells.length;
    whale.cells.forEach((share, i) => {
      context.globalAlpha = dim * (share / 255);
      if (share) context.fillRect(x + i * step, bandTop, Math.max(step, 0.5), bandHeight);
    });
  }

  superslab(place, x, y) {
    const { context, view } = this, superslab = place.thing, scale = view.scale;
    this.label(`SuperSlab ${superslab.number}  ${hex(superslab.base)}${superslab.change === "same" ? "" : "  " + superslab.change}`, x, y);
    for (const piece of superslab.pieces) {
      const left = x + piece.first * scale, width = piece.units * scale;
      if (left > this.clip.right || left + width < 0) continue;
      this.piece(piece, left, y, width, scale);
    }
    if (this.mode !== "resident") this.pages(superslab, 0, UNITS, x, y + BAND_AT * scale, UNITS * scale, BAND * scale);
    context.globalAlpha = 1;
    context.strokeStyle = this.colours.line;
    context.lineWidth = 1;
    if (scale > 4) context.strokeRect(x, y, UNITS * scale, scale);
  }

  piece(piece, x, y, width, height) {
    const { context, colours } = this, slab = piece.slab;
    if (piece.kind === "slab" || piece.kind === "span") {
      this.slab(slab, x, y, width, height);
      if (slab.change === "vanished") this.hatch(x, y, width, height, colours.lost);
    } else {
      context.globalAlpha = matchesPiece(this.filter, piece) ? 1 : 0.1;
      context.fillStyle = this.mode === "state" || piece.kind === "unknown" ? colours[piece.kind] : colours.unused;
      if (this.mode === "resident") this.pages(piece.superslab, piece.first, piece.units, x, y, width, height);
      else context.fillRect(x, y, width, height);
      if (piece.kind === "unknown" || piece.kind === "dirty") this.hatch(x, y, width, height, colours.dim);
    }
    if (this.view.scale > 12) {
      context.globalAlpha = 1;
      context.strokeStyle = colours.back;
      context.lineWidth = this.view.scale > 60 ? 2 : 1;
      context.strokeRect(x, y, width, height);
    }
  }

  slab(slab, x, y, width, height) {
    const { context, filter, mode } = this;
    const isShown = matchesSlab(filter, slab);
    context.globalAlpha = isShown ? 1 : 0.1;
    if (mode === "resident") {
      if (filter.state !== null && !countSlab(filter, slab).some((blocks) => blocks)) context.globalAlpha = 0.1;
      this.pages(slab.superslab, slab.first, slab.units, x, y, width, height);
      return;
    }
    const cell = Math.min(width / slab.columns, height / slab.rows);
    const states = cell >= 3 || slab.blocks === 1 ? slab.states() : null;
    if (states && (slab.blocks > 1 || slab.isSpan)) this.blocks(slab, states, isShown, x, y, width, height);
    else this.levels(slab, isShown, x, y, width, height);
    if (this.view.scale >= 44 && cell < 14) this.caption(slab, x, y, width);
  }

  /** From far away: how full it is, from below. */
  levels(slab, isShown, x, y, width, height) {
    const { context, colours, filter, mode } = this;
    const own = this.slabColour(mode, slab);
    const shown = this.isAll ? [slab.live, slab.cached, slab.remote, slab.free] : countSlab(filter, slab);
    context.fillStyle = colours.free;
    context.globalAlpha = isShown && (this.isAll || shown[FREE] || shown.some((blocks) => blocks)) ? 1 : 0.1;
    context.fillRect(x, y, width, height);
    let top = y + height;
    const put = (part, colour, isIn) => {
      if (!part) return;
      const size = Math.min(Math.max((part / slab.blocks) * height, Math.min(1, height / 8)), top - y);
      top -= size;
      context.globalAlpha = isIn ? 1 : 0.15;
      context.fillStyle = colour;
      context.fillRect(x, top, width, size);
    };
    if (mode === "change") {
      put(slab.gained, colours.gained, shown.some((blocks) => blocks));
      put(slab.lost, colours.lost, shown.some((blocks) => blocks));
      return;
    }
    [slab.live, slab.cached, slab.remote].forEach((blocks, state) => put(blocks, own || colours[STATES[state]], this.isAll || shown[state] > 0));
  }

  blocks(slab, states, isShown, x, y, width, height) {
    const { context, colours, filter, mode } = this;
    const own = this.slabColour(mode, slab);
    const changes = mode === "change" || filter.change !== null ? slab.changes() : null;
    const w = width / slab.columns, h = height / slab.rows, gap = Math.min(w, h) > 5 ? 1 : 0;
    // On whole pixels: seams between blocks would look like blocks.
    const left = (column) => Math.round(x + column * w), top = (row) => Math.round(y + row * h);
    context.globalAlpha = 0.5;
    context.fillStyle = colours.tail;
    if (slab.tailBytes && isShown) context.fillRect(x, y, width, height);
    const first = Math.max(0, Math.floor(-x / w)), last = Math.min(slab.columns, Math.ceil((this.clip.right - x) / w));
    for (let column = first; column < last; column++) {
      for (let row = 0; row < slab.rows; row++) {
        const block = column * slab.rows + row;
        if (block >= slab.blocks) break;
        const state = states[block];
        const isIn = isShown && (this.isAll || matchesBlock(filter, slab, block, states, changes));
        let colour = state === FREE || !own ? colours[STATES[state]] : own;
        if (mode === "change") colour = changes ? [colours.same, colours.gained, colours.lost][changes[block]] : colours.same;
        context.globalAlpha = isIn ? 1 : 0.12;
        context.fillStyle = colour;
        const cellLeft = left(column), cellTop = top(row);
        const cellWidth = left(column + 1) - cellLeft - gap, cellHeight = top(row + 1) - cellTop - gap;
        context.fillRect(cellLeft, cellTop, cellWidth, cellHeight);
        if (Math.min(w, h) >= 7) this.mark(mode === "change" ? (changes ? [FREE, LIVE, REMOTE][changes[block]] : FREE) : state, cellLeft, cellTop, cellWidth, cellHeight);
      }
    }
  }

  /** What tells states apart without colours: a dot in cached blocks, a stroke in those that another thread freed. */
  mark(state, x, y, w, h) {
    const { context, colours } = this, size = Math.min(w, h);
    if (state === CACHED) {
      context.fillStyle = colours.mark;
      context.fillRect(x + w / 2 - size / 6, y + h / 2 - size / 6, size / 3, size / 3);
    } else if (state === REMOTE) {
      context.strokeStyle = colours.mark;
      context.lineWidth = Math.max(1, size / 8);
      context.beginPath();
      context.moveTo(x + w / 2 - size / 3, y + h / 2 + size / 3);
      context.lineTo(x + w / 2 + size / 3, y + h / 2 - size / 3);
      context.stroke();
    }
  }

  caption(slab, x, y, width) {
    const { context, colours } = this;
    const text = slab.isSpan ? `span ${sizeText(slab.blockBytes)}` : sizeText(slab.blockBytes);
    context.globalAlpha = 0.85;
    const size = Math.min(this.view.scale * 0.2, 13), left = Math.max(x, 0);
    context.font = `${size}px system-ui, sans-serif`;
    const wide = Math.min(context.measureText(text).width + 6, x + width - left);
    context.fillStyle = colours.back;
    context.fillRect(left + 1, y + 1, wide, size + 5);
    context.globalAlpha = 1;
    context.fillStyle = colours.text;
    if (wide > 10) context.fillText(text, left + 4, y + size + 2, wide - 4);
  }

  /** Stripes: dark where memory backs the pages. */
  pages(superslab, first, units, x, y, width, height) {
    const { context, colours } = this;
    if (!superslab.resident || height < 0.5) return;
    const perUnit = UNIT_BYTES / superslab.pageBytes, step = width / (units * perUnit);
    context.fillStyle = colours.absent;
    context.fillRect(x, y, width, height);
    context.fillStyle = colours.resident;
    let from = -1;
    for (let page = 0; page <= units * perUnit; page++) {
      const isThere = page < units * perUnit && superslab.resident[first * perUnit + page] === 1;
      if (isThere && from < 0) from = page;
      if (!isThere && from >= 0) {
        context.fillRect(x + from * step, y, (page - from) * step, height);
        from = -1;
      }
    }
  }

  hatch(x, y, width, height, colour) {
    const { context } = this;
    if (Math.min(width, height) < 10) return;
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.beginPath();
    for (let at = Math.max(x - height, -height); at < Math.min(x + width, this.clip.right); at += 6) {
      context.moveTo(at, y + height);
      context.lineTo(at + height, y);
    }
    context.stroke();
    context.restore();
  }

  outline(hit) {
    const { context, view, colours } = this, place = hit.place;
    let box = [place.x, place.y, place.width, place.height];
    if (hit.piece) {
      box = [place.x + hit.piece.first, place.y, hit.piece.units, 1];
      if (hit.block >= 0) {
        const slab = hit.piece.slab;
        const w = hit.piece.units / slab.columns, h = 1 / slab.rows;
        box = [box[0] + Math.floor(hit.block / slab.rows) * w, box[1] + (hit.block % slab.rows) * h, w, h];
      }
    }
    context.strokeStyle = colours.text;
    context.lineWidth = 2;
    context.strokeRect((box[0] - view.x) * view.scale - 1, (box[1] - view.y) * view.scale - 1, box[2] * view.scale + 2, box[3] * view.scale + 2);
  }
}

// --- What people do ---

class App {
  constructor(heap) {
    this.heap = heap;
    this.canvas = document.getElementById("map");
    this.view = { x: 0, y: 0, scale: 1 };
    this.selected = null;
    this.controls = {};
    for (const id of ["colour", "class", "heap", "resident", "state", "change"]) this.controls[id] = document.getElementById(id);
    document.documentElement.classList.toggle("dark", window.matchMedia("(prefers-color-scheme: dark)").matches);
    this.painter = new Painter(heap);
    this.fillTexts();
    this.fillControls();
    this.listen();
    this.readFragment();
    this.resize();
    if (this.wanted !== null) this.goTo(this.wanted);
    this.changed();
  }

  fillTexts() {
    const { data } = this.heap;
    const when = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
    const what = this.heap.isDiff ? "what changed in" : "heap of";
    document.title = `${what} ${data.name} (${data.pid})`;
    document.getElementById("title").textContent = `${what} ${data.name}, process ${data.pid}${data.is_core ? ", in a core file" : ""}`;
    const build = data.build === "release" ? "" : ` (${data.build})`;
    const times = this.heap.isDiff ? `from ${when(data.old.taken)} to ${when(data.taken)}` : when(data.taken);
    const resident = data.resident ? `; resident ${sizeText(data.resident.kernel)}, of it HAKMEM's ${sizeText(data.resident.ours)}` : "";
    document.getElementById("subtitle").textContent = `HAKMEM ${data.version}${build}, ${times}${resident}`;
    const notes = [];
    if (data.left_out) notes.push(`${counted(data.left_out)} slabs are shown with their counts, not block by block: single blocks of all slabs would have taken more than ${sizeText(data.left_out_over)}. hakmem map --detail sets how much they may take.`);
    const doubts = Object.entries(data.doubts).map(([doubt, times]) => `${doubt} (${times})`);
    if (doubts.length) notes.push(`Changed while it was read, as the process went on: ${doubts.join(", ")}.`);
    if (this.heap.superslabs.some((superslab) => !superslab.resident)) notes.push(data.is_core ? "A core file does not say which pages were resident." : "The kernel did not say which pages are resident.");
    const band = data.is_core ? "" : " The band below each strip has a stripe for every page, dark where memory backs it.";
    notes.push(`Blocks lie in columns, from left to right as their addresses do.${band} Whales of more than 16 MiB are not to scale.`);
    document.getElementById("notes").replaceChildren(...notes.map((text) => element("p", text)));
    if (!this.heap.isDiff) return;
    document.getElementById("changes").hidden = false;
    const rows = [["", "appeared", "vanished", "changed", "same"]];
    for (const [name, label] of [["superslabs", "SuperSlabs"], ["slabs", "slabs, spans"], ["whales", "whales"]]) {
      const found = data.old.counts[name];
      rows.push([label, ...["appeared", "vanished", "changed", "same"].map((kind) => counted(found[kind]))]);
    }
    rows.push(["", "handed out", "freed", "", ""], ["blocks", counted(data.old.counts.blocks.gained), counted(data.old.counts.blocks.lost), "", ""]);
    document.getElementById("change-table").replaceChildren(...rows.map((row, i) => tableRow(row, i === 0 || row[0] === "")));
  }

  fillControls() {
    const { heap, controls } = this;
    const { data } = heap;
    const used = new Set(), owners = new Set();
    for (const superslab of heap.superslabs) for (const slab of superslab.slabs) {
      used.add(slab.sizeClass);
      owners.add(slab.owner);
    }
    const classes = [...used].sort((a, b) => a - b).map((index) => [index, index === SPAN ? "spans" : sizeText(heap.classes[index][0])]);
    if (heap.whales.length) classes.push(["whale", "whales"]);
    const states = ["live", "cached", "remote", "free", "room", "unused", "dirty", "idle"].map((name) => [name, STATE_LABELS[name]]);
    const changes = [["appeared", "appeared"], ["vanished", "vanished"], ["changed", "changed"], ["gained", "blocks handed out"], ["lost", "blocks freed"], ["same", "same"]];
    // What is not known cannot be chosen.
    controls.colour.querySelector("[value=resident]").disabled = data.is_core === true;
    controls.resident.disabled = data.is_core === true;
    addOptions(controls.class, classes);
    addOptions(controls.heap, [...owners].sort((a, b) => a - b).map((index) => [index, heap.ownerName(index)]));
    addOptions(controls.state, states);
    addOptions(controls.change, changes);
    if (heap.isDiff) {
      document.getElementById("change-label").hidden = false;
      addOptions(controls.colour, [["change", "change"]]);
      controls.colour.value = "change";
    }
  }

  filter() {
    const value = (id) => this.controls[id].value;
    const number = (text) => (text === "" ? null : text === "whale" ? text : Number(text));
    return {
      sizeClass: number(value("class")),
      owner: number(value("heap")),
      resident: value("resident") === "" ? null : value("resident") === "yes",
      state: value("state") || null,
      change: value("change") || null,
    };
  }

  listen() {
    const canvas = this.canvas, at = (event) => [event.offsetX, event.offsetY];
    for (const control of Object.values(this.controls)) control.addEventListener("change", () => this.changed());
    document.getElementById("tools").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = document.getElementById("address").value.trim();
      const address = /^(0x)?[0-9a-f]{1,13}$/i.test(text) ? parseInt(text, 16) : NaN;
      if (!this.goTo(address)) this.say(`${text || "that"} is no address in a SuperSlab or whale`);
    });
    const centre = () => [canvas.clientWidth / 2, canvas.clientHeight / 2];
    document.getElementById("in").addEventListener("click", () => this.zoom(...centre(), 1.6));
    document.getElementById("out").addEventListener("click", () => this.zoom(...centre(), 1 / 1.6));
    document.getElementById("whole").addEventListener("click", () => this.showWhole());
    document.getElementById("theme").addEventListener("click", () => {
      document.documentElement.classList.toggle("dark");
      this.painter.readColours();
      this.changed();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(...at(event), Math.exp(-event.deltaY * 0.002));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoom(...at(event), 2.5));
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      from = { at: at(event), x: this.view.x, y: this.view.y, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (from) {
        const dx = x - from.at[0], dy = y - from.at[1];
        from.moved = from.moved || Math.hypot(dx, dy) > 4;
        if (from.moved) {
          this.view.x = from.x - dx / this.view.scale;
          this.view.y = from.y - dy / this.view.scale;
          this.redraw();
        }
      } else {
        this.hover(x, y, event.clientX, event.clientY);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from && !from.moved) this.select(this.hit(...at(event)));
      else if (from) this.writeFragment();
      from = null;
    });
    canvas.addEventListener("pointercancel", () => { from = null; });
    canvas.addEventListener("pointerleave", () => { document.getElementById("tip").hidden = true; });
    canvas.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("resize", () => this.resize());
    window.addEventListener("hashchange", () => { this.readFragment(); if (this.wanted !== null) this.goTo(this.wanted); this.changed(); });
  }

  key(event) {
    const step = 60 / this.view.scale, middle = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    const acts = {
      ArrowLeft: () => { this.view.x -= step; }, ArrowRight: () => { this.view.x += step; },
      ArrowUp: () => { this.view.y -= step; }, ArrowDown: () => { this.view.y += step; },
      "+": () => this.zoom(...middle, 1.6), "=": () => this.zoom(...middle, 1.6), "-": () => this.zoom(...middle, 1 / 1.6),
      0: () => this.showWhole(), Enter: () => this.select(this.hit(...middle)), Escape: () => this.select(null),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
    this.redraw();
  }

  /** The layout follows the shape of the window while the whole is shown; who looks at a part of it keeps what is in the middle. */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!this.layout || this.isWhole) this.showWhole();
    else {
      this.view.x += (this.width - clientWidth) / 2 / this.view.scale;
      this.view.y += (this.height - clientHeight) / 2 / this.view.scale;
    }
    this.width = clientWidth;
    this.height = clientHeight;
    this.redraw();
  }

  showWhole() {
    const { clientWidth, clientHeight } = this.canvas;
    this.layout = layOut(this.heap, clientWidth / Math.max(clientHeight, 1) || 1);
    if (this.selected) {
      const place = placeOf(this.layout, this.address);
      this.selected = place && hitAt(this.layout, place.x, place.y);
    }
    const margin = 12, { width, height } = this.layout;
    const w = Math.max(this.canvas.clientWidth - 2 * margin, 10), h = Math.max(this.canvas.clientHeight - 2 * margin, 10);
    this.smallest = Math.min(w / width, h / height);
    this.view.scale = Math.min(this.smallest, 120);
    this.view.x = -margin / this.view.scale;
    this.view.y = -margin / this.view.scale;
    this.isWhole = true;
    this.redraw();
  }

  zoom(x, y, factor) {
    const view = this.view, scale = Math.min(Math.max(view.scale * factor, this.smallest / 2), 20000);
    view.x += x / view.scale - x / scale;
    view.y += y / view.scale - y / scale;
    view.scale = scale;
    this.isWhole = false;
    this.redraw();
  }

  /** Brings an address to the middle, near enough to see its block; false: it is nobody's. */
  goTo(address) {
    const place = placeOf(this.layout, address);
    if (!place) return false;
    this.view.scale = Math.max(this.smallest, Math.min(400, (this.canvas.clientWidth * 0.8) / Math.max(place.size, 1)));
    this.view.x = place.x - this.canvas.clientWidth / 2 / this.view.scale;
    this.view.y = place.y - this.canvas.clientHeight / 2 / this.view.scale;
    this.isWhole = false;
    this.address = address;
    this.select(hitAt(this.layout, place.x, place.y), address);
    return true;
  }

  hit(x, y) { return hitAt(this.layout, x / this.view.scale + this.view.x, y / this.view.scale + this.view.y); }

  hover(x, y, clientX, clientY) {
    const hit = this.hit(x, y), tip = document.getElementById("tip");
    tip.hidden = !hit;
    if (!hit) return;
    tip.textContent = describe(this.heap, hit).join("\n");
    tip.style.left = Math.min(clientX + 14, window.innerWidth - 350) + "px";
    tip.style.top = Math.min(clientY + 14, window.innerHeight - tip.offsetHeight - 8) + "px";
  }

  select(hit, address) {
    this.selected = hit;
    const start = hit && (hit.whale ? hit.whale.base : hit.block >= 0 ? hit.piece.slab.base + hit.block * hit.piece.slab.blockBytes : hit.superslab.base + hit.piece.first * UNIT_BYTES);
    this.address = hit ? address || start : null;
    document.getElementById("details").textContent = hit ? describe(this.heap, hit).join("\n") : "Click a block, a unit or a whale.";
    this.writeFragment();
    this.redraw();
  }

  changed() {
    const found = count(this.heap, this.filter());
    const rows = [["", "blocks", "bytes"]];
    let blocks = 0, bytes = 0;
    const old = this.heap.isDiff ? this.heap.data.old.totals : null;
    const inOld = { tail: "tails", room: "rooms", idle: "idle_whales" };
    if (old) rows[0].push("before");
    for (const [name, label] of Object.entries(STATE_LABELS)) {
      const row = found[name], before = old ? old[inOld[name] || name] : 0;
      if (!row.bytes && !before) continue;
      rows.push([label, row.blocks ? counted(row.blocks) : "", sizeText(row.bytes), ...(old ? [sizeText(before)] : [])]);
      blocks += row.blocks;
      bytes += row.bytes;
    }
    rows.push(["all", counted(blocks), sizeText(bytes), ...(old ? [sizeText(Object.values(old).reduce((sum, part) => sum + part, 0))] : [])]);
    const table = document.getElementById("totals");
    table.replaceChildren(...rows.map((row, i) => tableRow(row, i === 0)));
    table.lastChild.className = "sum";
    this.found = found;
    this.legend();
    this.writeFragment();
    this.say(`${counted(blocks)} blocks, ${sizeText(bytes)} shown`);
    this.redraw();
  }

  legend() {
    const { colours } = this.painter, mode = this.controls.colour.value, heap = this.heap;
    let rows = ["live", "cached", "remote", "free", "tail", "room", "unused", "dirty", "idle"].map((name) => [colours[name], STATE_LABELS[name], name]);
    if (mode === "class") rows = [[ramp(0), "smallest blocks"], [ramp(0.5), "middle"], [ramp(1), "spans, whales"], [colours.free, "free"]];
    if (mode === "heap") rows = heap.owners.slice(0, 16).map((_, i) => [THREAD_COLOURS[i % THREAD_COLOURS.length], heap.ownerName(i)]).concat([[colours.free, "free"]]);
    if (mode === "resident") rows = [[colours.resident, "resident"], [colours.absent, "not resident"]];
    if (mode === "age") rows = [[this.painter.ageColour(100), "a unit freed just now"], [this.painter.ageColour(60000), "a minute ago"], [this.painter.ageColour(36000000), "hours ago"], [colours.same, "not known"]];
    if (mode === "change") rows = [[colours.gained, "handed out since"], [colours.lost, "freed since", "remote"], [colours.same, "as it was"], [colours.unused, "unused"]];
    document.getElementById("legend").replaceChildren(...rows.map(([colour, label, name]) => {
      const row = document.createElement("li"), patch = document.createElement("canvas");
      patch.width = 32;
      patch.height = 28;
      const context = patch.getContext("2d");
      context.fillStyle = colour;
      context.fillRect(0, 0, 32, 28);
      this.painter.context = context;
      this.painter.clip = { left: 0, right: 32 };
      if (name === "cached") this.painter.mark(CACHED, 0, 0, 32, 28);
      if (name === "remote") this.painter.mark(REMOTE, 0, 0, 32, 28);
      if (name === "dirty") this.painter.hatch(0, 0, 32, 28, colours.dim);
      row.append(patch, label);
      return row;
    }));
  }

  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.painter.draw(this.canvas, this.layout, this.view, this.controls.colour.value, this.filter(), this.selected);
    });
  }

  say(text) { document.getElementById("status").textContent = text; }

  /** What is shown is in the address of the page, so that it can be passed on. */
  writeFragment() {
    const parts = new URLSearchParams();
    for (const [id, control] of Object.entries(this.controls)) if (control.value !== "" && (id !== "colour" || control.selectedIndex > 0)) parts.set(id, control.value);
    if (this.address) parts.set("at", hex(this.address));
    history.replaceState(null, "", "#" + parts.toString());
  }

  readFragment() {
    const parts = new URLSearchParams(location.hash.slice(1));
    for (const [id, control] of Object.entries(this.controls)) {
      const value = parts.get(id);
      if (value !== null && [...control.options].some((option) => option.value === value)) control.value = value;
    }
    if (parts.get("theme")) {
      document.documentElement.classList.toggle("dark", parts.get("theme") === "dark");
      this.painter.readColours();
    }
    const at = parts.get("at");
    this.wanted = at === null ? null : parseInt(at, 16);
  }
}

function element(name, text) {
  const out = document.createElement(name);
  out.textContent = text;
  return out;
}

function tableRow(cells, isHead) {
  const row = document.createElement("tr");
  row.append(...cells.map((text) => element(isHead ? "th" : "td", text)));
  return row;
}

function addOptions(select, rows) {
  for (const [value, label] of rows) {
    const option = element("option", label);
    option.value = value;
    select.append(option);
  }
}

unpack(document.getElementById("data").textContent).then((data) => {
  window.app = new App(new Heap(data));
}).catch((error) => {
  document.getElementById("status").textContent = `This page cannot be shown: ${error.message}`;
  throw error;
});
