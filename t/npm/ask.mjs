// Asks an agent through the official client and tells what came, in JSON: the
// text, the usage and the bytes of the stream.
//
// The agent holds every token back until the client has the one before it and
// says so to the agent itself: a proxy that collects tokens gets no further.
//
//     node ask.mjs DIR URL USER AGENT
//
// DIR is where node_modules is, URL where to ask, AGENT where to say so.

import { createRequire } from 'node:module';

const [directory, url, user, agentUrl] = process.argv.slice(2);
const { OpenAI } = createRequire(`${directory}/`)('openai');

const reads = [];
let agent;

// The client's own fetch, with an eye on the bytes that go by.
async function watched(address, options) {
    const response = await fetch(address, options);
    agent = response.headers.get('x-agent');
    const watch = new TransformStream({
        transform(bytes, controller) {
            reads.push(Buffer.from(bytes));
            controller.enqueue(bytes);
        },
    });
    return new Response(response.body.pipeThrough(watch), response);
}

async function allow(tokens) {
    await fetch(`${agentUrl}/settings`, {
        method: 'POST', body: `hold=${tokens}`,
    });
}

const client = new OpenAI({
    apiKey: 'none', baseURL: url, maxRetries: 0, timeout: 20000,
    fetch: watched, defaultHeaders: { 'X-User-Id': user },
});

const messages = [{ role: 'user', content: 'What is the answer?' }];
await allow(1);

const stream = await client.chat.completions.create({
    model: 'any', messages, stream: true,
    stream_options: { include_usage: true },
});

let tokens = 0;
let text = '';
let usage = null;
let model = null;

for await (const chunk of stream) {
    model = chunk.model;
    usage = chunk.usage ?? usage;
    const token = chunk.choices[0]?.delta?.content;
    if (token) {
        tokens++;
        text += token;
        await allow(tokens + 1);
    }
}

const streamed = Buffer.concat(reads).toString('base64');
const whole = await client.chat.completions.create({ model: 'any', messages });

console.log(JSON.stringify({
    agent, model, text, usage, tokens, streamed,
    whole: whole.choices[0].message.content, wholeUsage: whole.usage,
}));
