// The thread that computes, one text after another. It works in short stretches and looks for messages in between, so
// that a stop works at once. Every message has the number of its run, 0 for loading.

import { unitGates } from "./gates.js";
import { Generator } from "./generation.js";
import { KernelNetwork, startKernel } from "./kernel.js";
import { Network } from "./network.js";
import { bytesOf, unpackedTensors } from "./tensors.js";

const STRETCH = 16; // milliseconds
const LONGEST_PAUSE = 250; // milliseconds between two pieces of text: the longer a text is, the longer it takes to show

let generator = null, shape = null, tensors = null;
let last = Promise.resolve(); // the run that others wait for
const stopped = new Set();

const channel = new MessageChannel(); // unlike setTimeout it does not wait
const nextTurn = () =>
  new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });

async function write({ run, ids, from, length, settings }) {
  const pieces = generator.write(ids, from, length, settings);
  let ended = false, tokens = [], sent = 0, count = 0;
  const send = () => {
    if (tokens.length) postMessage({ run, tokens });
    count += tokens.length;
    tokens = [];
    sent = performance.now();
  };
  while (!ended && !stopped.has(run)) {
    for (const until = performance.now() + STRETCH; performance.now() < until; ) {
      const { value, done } = pieces.next();
      ended = done;
      if (done) break;
      tokens.push(...value);
    }
    if (performance.now() - sent >= Math.min(LONGEST_PAUSE, count / 20)) send();
    if (!ended) await nextTurn();
  }
  send();
  postMessage({ run, ended: true });
}

function look({ run, ids, layer, unit }) {
  const states = generator.states(ids, layer);
  const gates = unit === undefined ? null : unitGates(shape, tensors, ids, states, layer, unit);
  postMessage({ run, hidden: states.map((state) => state.hidden), gates });
  postMessage({ run, ended: true });
}

async function load({ run, description, kernel, weights, longest }) {
  const { unknown_id: unknownId } = description;
  shape = description.shape;
  tensors = unpackedTensors(bytesOf(weights), shape);
  const running = await startKernel(kernel);
  const network = running ? new KernelNetwork(running, shape, tensors) : new Network(shape, tensors);
  generator = new Generator(network, unknownId, longest, shape);
  postMessage({ run, compiled: running !== null });
}

onmessage = ({ data }) => {
  if (data.stop) return stopped.add(data.run);
  const failed = (error) => postMessage({ run: data.run, error: String(error?.message ?? error) });
  const work = data.run === 0 ? load : data.layer === undefined ? write : look;
  last = last.then(() => work(data)).catch(failed);
};
