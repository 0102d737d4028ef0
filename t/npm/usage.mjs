// Asks an agent through the official clients of two APIs, each for a whole
// answer and for a stream, and tells the tokens that they were told, in JSON.
//
//     node usage.mjs DIR URL USER
//
// DIR is where node_modules is, URL where to ask.

import { createRequire } from 'node:module';

const [directory, url, user] = process.argv.slice(2);
const require = createRequire(`${directory}/`);
const { OpenAI } = require('openai');
const { Anthropic } = require('@anthropic-ai/sdk');

const options = {
    apiKey: 'none', maxRetries: 0, timeout: 20000,
    defaultHeaders: { 'X-User-Id': user },
};
const openai = new OpenAI({ ...options, baseURL: `${url}/v1` });
const anthropic = new Anthropic({ ...options, baseURL: url });

const messages = [{ role: 'user', content: 'What is the answer?' }];
const told = [];

function tell(client, text, input, output) {
    told.push({ client, text, input, output });
}

const chat = await openai.chat.completions.create({ model: 'any', messages });
tell('openai', chat.choices[0].message.content, chat.usage.prompt_tokens,
     chat.usage.completion_tokens);

let text = '';
let usage = null;

for await (const chunk of await openai.chat.completions.create({
    model: 'any', messages, stream: true,
    stream_options: { include_usage: true },
})) {
    text += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
}

tell('openai stream', text, usage.prompt_tokens, usage.completion_tokens);

const question = { model: 'any', messages, max_tokens: 100 };
const message = await anthropic.messages.create(question);
tell('anthropic', message.content[0].text, message.usage.input_tokens,
     message.usage.output_tokens);

const last = await anthropic.messages.stream(question).finalMessage();
tell('anthropic stream', last.content[0].text, last.usage.input_tokens,
     last.usage.output_tokens);

console.log(JSON.stringify(told));
