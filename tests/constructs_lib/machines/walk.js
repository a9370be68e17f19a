// Walks state machines with scripted answers of their tasks; expressions are evaluated by the reference JSONata.
// Each line of standard input asks for a walk: {definition, input, answers: {state: [{result} | {error, cause}]}, name,
// redrives}. The last answer of a state is repeated. A line each is written: {status, output, error, cause, path,
// calls: [{state, arguments}], seconds}, or {problem} where the walk itself went wrong.
"use strict";
const { createHash } = require("crypto");
const path = require("path");
const jsonata = require(path.join(process.argv[2], "jsonata"));

class StateError extends Error {
  constructor(error, cause) {
    super(`${error}: ${cause}`);
    this.error = error;
    this.cause = cause;
  }
}

let asked, trace, taken, context;

function begin(question) {
  asked = question;
  trace = { path: [], calls: [], seconds: 0 };
  taken = {};
  const id = `arn:aws:states:us-east-1:000000000000:execution:dev:${asked.name}`;
  context = { Execution: { Id: id, Name: asked.name, StartTime: iso(0), RedriveCount: 0 } };
}

function iso(seconds) {
  return new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
}

async function evaluate(template, states, variables) {
  if (typeof template === "string" && template.startsWith("{%")) return expression(template, states, variables);
  if (Array.isArray(template)) return Promise.all(template.map((each) => evaluate(each, states, variables)));
  if (template !== null && typeof template === "object") {
    const entries = Object.entries(template).map(async ([key, each]) => [key, await evaluate(each, states, variables)]);
    return Object.fromEntries(await Promise.all(entries));
  }
  return template;
}

async function expression(template, states, variables) {
  const query = jsonata(template.slice(2, -2).trim());
  query.registerFunction("parse", (text) => JSON.parse(text));
  query.registerFunction("hash", (text, kind) => createHash(kind.replace("-", "").toLowerCase()).update(text).digest("hex"));
  let value;
  try {
    value = await query.evaluate(undefined, { ...variables, states });
  } catch (problem) {
    throw new StateError("States.QueryEvaluationError", `${problem.code}: ${problem.message}`);
  }
  if (value === undefined) throw new StateError("States.QueryEvaluationError", `no value: ${template}`);
  return JSON.parse(JSON.stringify(value));
}

async function run(flow, start, input, variables) {
  let name = start;
  for (let steps = 0; steps < 1000; steps++) {
    trace.path.push(name);
    const state = flow.States[name];
    const here = { ...context, State: { Name: name, EnteredTime: iso(trace.seconds), RetryCount: 0 } };
    const states = { input, context: here };
    try {
      if (state.Type === "Succeed") return "Output" in state ? await evaluate(state.Output, states, variables) : input;
      if (state.Type === "Fail") {
        throw new StateError(await evaluate(state.Error, states, variables), await evaluate(state.Cause, states, variables));
      }
      if (state.Type === "Choice") {
        name = await choose(state, states, variables);
        continue;
      }
      if (state.Type === "Wait") trace.seconds += state.Seconds;
      if (state.Type === "Task") states.result = await call(name, state, states, variables);
      if (state.Type === "Parallel") {
        states.result = [];
        for (const branch of state.Branches) states.result.push(await run(branch, branch.StartAt, input, { ...variables }));
      }
      if (state.Type === "Map") {
        states.result = [];
        for (const item of await evaluate(state.Items, states, variables)) {
          states.result.push(await run(state.ItemProcessor, state.ItemProcessor.StartAt, item, { ...variables }));
        }
      }
      const assigned = await evaluate(state.Assign ?? {}, states, variables);
      input = "Output" in state ? await evaluate(state.Output, states, variables) : states.result ?? input;
      Object.assign(variables, assigned);
      name = state.Next;
    } catch (problem) {
      const caught = (state.Catch ?? []).find((each) => catches(each, problem.error));
      if (!caught) {
        problem.at ??= { name, input };
        throw problem;
      }
      states.errorOutput = { Error: problem.error, ...(problem.cause === undefined ? {} : { Cause: problem.cause }) };
      const assigned = await evaluate(caught.Assign ?? {}, states, variables);
      input = await evaluate(caught.Output, states, variables);
      Object.assign(variables, assigned);
      name = caught.Next;
    }
  }
  throw new Error(`no end after ${trace.path.slice(-10)}`);
}

function catches(each, error) {
  return error !== undefined && (each.ErrorEquals.includes(error) || each.ErrorEquals.includes("States.ALL"));
}

async function choose(state, states, variables) {
  for (const rule of state.Choices) {
    const holds = await evaluate(rule.Condition, states, variables);
    if (typeof holds !== "boolean") throw new StateError("States.QueryEvaluationError", `not a boolean: ${rule.Condition}`);
    if (holds) return rule.Next;
  }
  return state.Default;
}

async function call(name, state, states, variables) {
  trace.calls.push({ state: name, resource: state.Resource, arguments: await evaluate(state.Arguments, states, variables) });
  const answers = asked.answers[name];
  if (!answers) throw new Error(`no answer for task ${name}`);
  taken[name] = (taken[name] ?? 0) + 1;
  const answer = answers[Math.min(taken[name], answers.length) - 1];
  if ("error" in answer) throw new StateError(answer.error, answer.cause);
  return answer.result;
}

async function walk() {
  const flow = asked.definition;
  const variables = {};
  let [start, input] = [flow.StartAt, asked.input];
  for (;;) {
    try {
      return { status: "SUCCEEDED", output: await run(flow, start, input, variables), ...trace };
    } catch (problem) {
      if (!problem.at) throw problem;
      if (context.Execution.RedriveCount >= asked.redrives) {
        return { status: "FAILED", error: problem.error, cause: problem.cause, ...trace };
      }
      context.Execution.RedriveCount++;
      trace.path.push("(redriven)");
      [start, input] = [problem.at.name, problem.at.input];
    }
  }
}

async function main() {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    begin(JSON.parse(line));
    const outcome = await walk().catch((problem) => ({ problem: String(problem.stack) }));
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
  }
}

main();
