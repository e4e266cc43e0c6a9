// JSON, maps, buffers, zlib, crypto and worker threads; prints checksums. An argument N asks for an Nth of the work.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');
const {Worker, isMainThread, parentPort, workerData} = require('worker_threads');

const part = Number(process.argv[2] || 1);

function generator(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
}

function digest(data) { return crypto.createHash('sha256').update(data).digest('hex').slice(0, 16); }

function word(rnd) {
  let text = '';
  for (let i = 1 + rnd(12); i > 0; i--) text += String.fromCharCode(97 + rnd(26));
  return text;
}

function records(rnd) {
  const list = [];
  for (let i = 0; i < 60000 / part; i++) list.push({id: i, name: word(rnd), tags: [word(rnd), word(rnd)], value: rnd(1e6)});
  const copy = JSON.parse(JSON.stringify(list));
  copy.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id));
  const groups = new Map();
  for (const r of copy) {
    if (!groups.has(r.tags[0])) groups.set(r.tags[0], []);
    groups.get(r.tags[0]).push(r.id);
  }
  return digest(JSON.stringify([copy, [...groups]]));
}

function buffers(rnd) {
  const kept = [];
  for (let i = 0; i < 20000 / part; i++) {
    const b = Buffer.alloc(1 + rnd(16000), rnd(256));
    if (i % 50 === 0) kept.push(b);
  }
  return digest(Buffer.concat(kept));
}

function packed(rnd) {
  const parts = [];
  for (let i = 0; i < 200000 / part; i++) parts.push(word(rnd));
  const body = Buffer.from(parts.join(' '));
  const deflated = zlib.deflateSync(body, {level: 9});
  const brotli = zlib.brotliCompressSync(body, {params: {[zlib.constants.BROTLI_PARAM_QUALITY]: 5}});
  const same = zlib.inflateSync(deflated).equals(body) && zlib.brotliDecompressSync(brotli).equals(body);
  return `${digest(deflated)} ${digest(brotli)} ${same}`;
}

function text(rnd) {
  let body = '';
  for (let i = 0; i < 100000 / part; i++) body += word(rnd) + ' ';
  for (let i = 0; i < 3; i++) body = body.replace(/([aeiou])(\w)/g, '$2$1');
  return digest(body);
}

function all(seed) {
  const rnd = generator(seed);
  return [records(rnd), buffers(rnd), packed(rnd), text(rnd)].join(' ');
}

if (isMainThread) {
  console.log('main', all(1));
  const done = [2, 3, 4, 5].map((seed) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, {workerData: seed, argv: process.argv.slice(2)});
    worker.on('message', resolve);
    worker.on('error', reject);
  }));
  Promise.all(done).then((lines) => lines.forEach((line) => console.log(line)));
} else {
  parentPort.postMessage(`worker ${workerData} ${all(workerData)}`);
}
