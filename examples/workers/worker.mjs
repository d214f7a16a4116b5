// A worker for: sluice run QUEUE --exec 'node worker.mjs' --worker
//
// One message a line in, one verdict a line out.
import { createInterface } from 'node:readline';

console.log = console.info = console.error; // whatever prints prints to the log

class Rejected extends Error {} // another attempt would not mend it

async function handle(message, body) {
  let order;
  try {
    order = JSON.parse(body);
  } catch (e) {
    throw new Rejected(e.message);
  }
  if (!(order.amount > 0)) throw new Rejected(`amount is ${order.amount}`);
  if (order.busy && message.attempt === 1) return { verdict: 'retry', after: 0.01, error: 'the gateway is busy' };
  console.log('charged', order.amount, 'for', message.attributes?.tenant);
  return { verdict: 'ack' };
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const message = JSON.parse(line);
  const body = message.body ?? Buffer.from(message.body_base64, 'base64');
  const verdict = await handle(message, body).catch((e) => ({
    verdict: e instanceof Rejected ? 'reject' : 'retry', error: String(e.message),
  }));
  process.stdout.write(JSON.stringify({ id: message.id, ...verdict }) + '\n');
}
