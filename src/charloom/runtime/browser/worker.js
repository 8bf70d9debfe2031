// The thread that computes. It works in short stretches and looks for messages in between, so that Stop works at once.

import { Network, unpackedTensors } from "./model.js";
import { Writer } from "./writer.js";

const STRETCH = 16; // milliseconds

let writer = null;
let current = 0; // the run that is being written; another number or 0 ends it

const channel = new MessageChannel(); // unlike setTimeout it does not wait
const nextTurn = () =>
  new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });

function load({ description, weights, longest }) {
  const network = new Network(description.shape, unpackedTensors(weights, description.tensors));
  writer = new Writer(network, description.unknown_id, longest);
  postMessage({ kind: "ready" });
}

async function write({ run, ids, from, length, settings }) {
  current = run;
  const pieces = writer.write(ids, from, length, settings);
  let ended = false;
  while (!ended && current === run) {
    const tokens = [];
    for (const until = performance.now() + STRETCH; performance.now() < until; ) {
      const { value, done } = pieces.next();
      ended = done;
      if (done) break;
      if (value) tokens.push(value);
    }
    if (tokens.length) postMessage({ kind: "tokens", run, tokens });
    if (!ended) await nextTurn();
  }
  if (ended) postMessage({ kind: "end", run });
}

onmessage = ({ data }) => {
  const failed = (error) => postMessage({ kind: "failed", message: String(error?.message ?? error) });
  try {
    if (data.kind === "load") load(data);
    else if (data.kind === "write") write(data).catch(failed);
    else current = 0;
  } catch (error) {
    failed(error);
  }
};
