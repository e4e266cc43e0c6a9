// Loads on the garbage collector and on what hangs off it; prints one checksum a line.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');
const {Worker, isMainThread, parentPort, workerData} = require('worker_threads');

function generator(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
}

// Objects that live for a while, in a table whose slots are overwritten at random.
function objects(rnd, rounds) {
  const table = new Array(20000).fill(null);
  for (let i = 0; i < rounds; i++) {
    table[rnd(table.length)] = {i, text: 'x'.repeat(rnd(40)) + i, list: [i, i + 1], next: table[rnd(table.length)]?.i};
  }
  return table.reduce((sum, o) => (sum + (o ? o.i + o.text.length + (o.next ?? 0) : 0)) % 1000000007, 0);
}

// Memory outside of V8's heap, which only the collector gives back.
function buffers(rnd, rounds) {
  const table = new Array(64).fill(Buffer.alloc(0));
  let sum = 0;
  for (let i = 0; i < rounds; i++) {
    const slot = rnd(table.length);
    for (let k = 0; k < table[slot].length; k += 4096) sum = (sum + table[slot][k]) % 1000000007;
    table[slot] = Buffer.alloc(1 + rnd(1 << (4 + rnd(17))), i & 255);
    if (i % 500 === 0) gc();
  }
  return sum;
}

function packed(rnd) {
  const plain = Buffer.from(Array.from({length: 400000}, () => 97 + rnd(8)));
  const hash = crypto.createHash('sha256');
  for (let level = 1; level <= 9; level += 2) hash.update(zlib.inflateSync(zlib.deflateSync(plain, {level})));
  hash.update(zlib.brotliDecompressSync(zlib.brotliCompressSync(plain, {params: {[zlib.constants.BROTLI_PARAM_QUALITY]: 4}})));
  return hash.digest('hex').slice(0, 16);
}

function functions(rounds) {
  let sum = 0;
  for (let i = 0; i < rounds; i++) sum += new Function('a', `return a * ${i} + [${i}, 1].length;`)(i) % 1009;
  return sum;
}

async function workers(count) {
  let sum = 0;
  for (let i = 0; i < count; i += 4) {
    const four = [0, 1, 2, 3].map((k) => new Promise((resolve, reject) => {
      const worker = new Worker(__filename, {workerData: i + k});
      worker.once('message', resolve);
      worker.once('error', reject);
    }));
    sum += (await Promise.all(four)).reduce((a, b) => a + b, 0);
  }
  return sum;
}

async function main() {
  console.log('objects', objects(generator(1), 1500000));
  console.log('buffers', buffers(generator(2), 6000));
  console.log('packed', packed(generator(3)));
  console.log('functions', functions(5000));
  console.log('workers', await workers(40));
}

if (isMainThread) {
  main();
} else {
  parentPort.postMessage(objects(generator(workerData), 30000));
}
