// The WebAssembly kernel under node; see elsewhere.c.
import fs from "node:fs";

const input = fs.readFileSync("input");
const { exports: charloom } = (await WebAssembly.instantiate(fs.readFileSync("kernel.bin"), {})).instance;
const memory = charloom.memory;
let top = memory.buffer.byteLength;
memory.grow(1 << 10);

function allocate(size) {
  const place = top;
  top += Math.ceil(Number(size) / 64) * 64;
  if (size < 0 || top > memory.buffer.byteLength) throw new Error("no memory, or a refusal");
  return place;
}

const base = allocate(input.length);
new Uint8Array(memory.buffer).set(input, base);
const view = new DataView(memory.buffer);
const word = (index) => Number(view.getBigInt64(base + 8 * index, true));
const parts = word(0);
const part = (index) => ({ at: base + word(1 + 2 * index), size: word(2 + 2 * index) });
const [shape, ids, uniforms, sampling, states] = [5, 4, 3, 2, 1].map((back) => part(parts - back));
const rows = BigInt(sampling.size / 32);
const steps = BigInt(uniforms.size / 8) / rows;
const read = BigInt(ids.size / 8) / rows;
const symbols = view.getInt32(shape.at + 16, true);

const tensors = parts - 5;
const places = allocate(4 * tensors);
const sizes = allocate(8 * tensors);
for (let index = 0; index < tensors; index++) {
  const { at, size } = part(index);
  view.setUint32(places + 4 * index, size ? at : 0, true);
  view.setBigInt64(sizes + 8 * index, BigInt(size), true);
}
const modelSize = charloom.charloom_model_bytes(shape.at);
const model = allocate(modelSize);
if (charloom.charloom_prepare(shape.at, 0, places, sizes, tensors, model, modelSize)) throw new Error("prepare refuses");
const workSize = charloom.charloom_work_bytes(model, modelSize);
const work = allocate(workSize);
const state = allocate(states.size);
const last = allocate(8 * Number(rows));
for (let row = 0; row < rows; row++) view.setBigInt64(last + 8 * row, BigInt(1 + row), true);
const written = allocate(uniforms.size);
const logits = allocate(4 * Number(read * rows) * symbols);
const block = [model, modelSize, work, workSize];
if (charloom.charloom_write(...block, last, steps, rows, 0n, rows, state, uniforms.at, sampling.at, -1n, 0, written) < 0)
  throw new Error("write refuses");
if (charloom.charloom_run(...block, ids.at, read, rows, 0n, rows, state, logits, 0n) < 0) throw new Error("run refuses");
const results = [[written, uniforms.size], [logits, 4 * Number(read * rows) * symbols], [state, states.size]];
const name = [charloom.charloom_micro(0), 16];
fs.writeFileSync("output", Buffer.concat([name, ...results].map(([at, size]) => new Uint8Array(memory.buffer, at, size))));
