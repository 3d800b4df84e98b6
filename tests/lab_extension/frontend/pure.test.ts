/** Decisions of the panel, without a browser. Run by Node itself: `node --test`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

const source = '../../../lab_extension/frontend/src/';
const { fromCron, toCron, defaultChoice } = await import(`${source}schedule.ts`);
const { collect, read, write } = await import(`${source}parameters.ts`);
const { duration, inZone, relative, withoutZone } = await import(`${source}format.ts`);
const { formField, fromAnswer } = await import(`${source}problem.ts`);
const sheets = await import(`${source}sheet.ts`);

const parameter = (type: string, value: unknown, name = 'p') => ({
  name,
  type,
  default: value,
  help: ''
});

const info = (changes = {}) => ({
  path: 'report.ipynb',
  name: 'report',
  kernel: { name: 'python3', language: 'python', display_name: 'Python 3' },
  parameters: [parameter('int', 2024, 'year')],
  findings: [],
  job: null,
  projects: [
    { slug: 'prices', title: 'Prices', roles: ['member'], personal: false },
    { slug: 'user-ana', title: 'ana', roles: ['owner'], personal: true }
  ],
  service: null,
  ...changes
});

const job = (changes = {}) => ({
  id: 'j1',
  name: 'Report',
  project: 'prices',
  schedule: { cron: '30 7 * * 2', timezone: 'Europe/Paris', sentence: '', next: [] },
  parameters: { year: 2020 },
  ...changes
});

for (const [cron, preset] of [
  ['0 6 * * *', 'daily'],
  ['5 23 * * 1-5', 'weekdays'],
  ['30 7 * * 0', 'weekly'],
  ['0 0 28 * *', 'monthly'],
  ['0 0 31 * *', 'cron'],
  ['*/5 * * * *', 'cron'],
  ['0 6 * 1 *', 'cron'],
  ['0 6 * * 1,3', 'cron'],
  ['0 24 * * *', 'cron'],
  ['@monthly', 'cron']
]) {
  test(`${cron} is ${preset}, and itself again`, () => {
    const choice = fromCron(cron, 'UTC');
    assert.equal(choice.preset, preset);
    assert.equal(toCron(choice), cron);
  });
}

test('a time that is missing is no schedule', () => {
  assert.equal(toCron({ ...defaultChoice('UTC'), time: '' }), '');
});

for (const [type, raw, value] of [
  ['int', ' 2024 ', 2024],
  ['int', '-3', -3],
  ['float', '1e-3', 0.001],
  ['float', '-inf', '-inf'],
  ['str', ' as it is ', ' as it is '],
  ['bool', true, true],
  ['list', '["FR", 1]', ['FR', 1]],
  ['dict', '{"FR": 1}', { FR: 1 }],
  ['json', 'null', null]
] as const) {
  test(`${JSON.stringify(raw)} is ${JSON.stringify(value)} as ${type}`, () => {
    assert.deepEqual(read(parameter(type, null), raw), { value });
  });
}

for (const [type, raw] of [
  ['int', ''],
  ['int', '2.5'],
  ['int', '99999999999999999999'],
  ['float', 'much'],
  ['float', ''],
  ['list', '{"a": 1}'],
  ['dict', '[1]'],
  ['dict', 'null'],
  ['json', 'FR']
] as const) {
  test(`${JSON.stringify(raw)} is not a ${type}, and it is said what is`, () => {
    assert.match(read(parameter(type, null), raw).error, /such as/);
  });
}

test('what is shown of a default is read back as that default', () => {
  for (const [type, value] of [
    ['int', 3],
    ['float', 0.5],
    ['float', 'nan'],
    ['str', 'FR'],
    ['bool', false],
    ['list', [1, 'a']],
    ['dict', { a: [1] }],
    ['json', null]
  ] as const) {
    const it = parameter(type, value);
    assert.deepEqual(read(it, write(it, value)), { value });
  }
});

test('only what differs from the notebook is sent', () => {
  const parameters = [parameter('int', 1, 'a'), parameter('str', 'x', 'b')];
  assert.deepEqual(collect(parameters, { a: '1', b: 'y' }), { values: { b: 'y' }, errors: {} });
  assert.deepEqual(Object.keys(collect(parameters, { a: 'one' }).errors), ['parameters.a']);
});

test('times are told in the zone of the schedule', () => {
  assert.match(inZone('2026-03-30T04:00:00Z', 'Europe/Paris', 'en-GB'), /30 Mar.*06:00/);
  assert.match(inZone('2026-03-30T04:00:00Z', 'No/Where', 'en-GB'), /30 Mar/);
  assert.equal(inZone('soon', 'UTC', 'en'), 'soon');
});

test('a zone is told once', () => {
  assert.equal(withoutZone('At 06:00 (Europe/Paris)', 'Europe/Paris'), 'At 06:00');
  assert.equal(withoutZone('At 06:00', 'Europe/Paris'), 'At 06:00');
});

test('durations and distances read well', () => {
  assert.equal(duration('2026-01-01T00:00:00Z', '2026-01-01T00:00:04Z'), '4 s');
  assert.equal(duration('2026-01-01T00:00:00Z', '2026-01-01T01:02:03Z'), '1 h 2 min');
  const now = Date.parse('2026-01-01T12:00:00Z');
  assert.equal(relative('2026-01-01T15:10:00Z', now, 'en'), 'in 3 hours');
  assert.equal(relative('2026-01-01T11:58:00Z', now, 'en'), '2 minutes ago');
});

test('whatever a proxy says becomes words, and a problem document stays what it is', () => {
  const document = { code: 'job-name-taken', title: 'Taken.', field: 'name' };
  assert.equal(fromAnswer(409, JSON.stringify(document)).field, 'name');
  assert.equal(fromAnswer(403, '<html>').code, 'signed-out');
  assert.equal(fromAnswer(502, '<html>').code, 'unreachable');
  assert.equal(fromAnswer(500, '{"message": "Unhandled error"}').code, 'bug');
});

test('the fields of all endpoints mean the fields of one form', () => {
  const at = (field?: string) => formField({ code: 'invalid', title: '', status: 422, field });
  assert.equal(at('cron'), 'schedule.cron');
  assert.equal(at('schedule'), 'schedule.cron');
  assert.equal(at('parameters.year'), 'parameters.year');
  assert.equal(at(undefined), null);
});

test('a first draft is ready to be sent as it is', () => {
  const draft = sheets.firstDraft(info(), 'Europe/Paris');
  assert.deepEqual(sheets.submission(draft, info()).body, {
    path: 'report.ipynb',
    name: 'report',
    project: 'user-ana',
    schedule: { cron: '0 6 * * 1-5', timezone: 'Europe/Paris' },
    run_now: false,
    parameters: {}
  });
});

test("a job of a project's notebook is the project's unless another is chosen", () => {
  const shared = { slug: 'prices', title: 'Prices', roles: ['member'], personal: false };
  const both = [...info().projects, shared];
  const draft = sheets.firstDraft(info({ projects: both, project: 'prices' }), 'UTC');
  assert.equal(draft.project, 'prices');
  assert.equal(sheets.firstDraft(info({ project: 'left' }), 'UTC').project, 'user-ana');
});

test('a notebook that is a job gets a new version of it, as it is now', () => {
  const known = info({ job: job() });
  const draft = sheets.firstDraft(known, 'UTC');
  const { body } = sheets.submission(draft, known);
  assert.equal(draft.target, 'version');
  assert.equal(body.job_id, 'j1');
  assert.deepEqual(body.schedule, { cron: '30 7 * * 2', timezone: 'Europe/Paris' });
  assert.deepEqual(body.parameters, { year: 2020 });
  const other = sheets.submission({ ...draft, target: 'job', name: 'Other' }, known).body;
  assert.equal('job_id' in other, false);
});

test('every fault of the form is found at once, each at its field', () => {
  const draft = sheets.firstDraft(info(), 'UTC');
  const { errors } = sheets.submission(
    {
      ...draft,
      name: ' ',
      schedule: { ...draft.schedule, preset: 'cron', cron: '', timezone: '' },
      parameters: { year: 'soon' }
    },
    info()
  );
  assert.deepEqual(Object.keys(errors).sort(), [
    'name',
    'parameters.year',
    'schedule.cron',
    'schedule.timezone'
  ]);
});

test('what was typed stays when the notebook is read again; the rest follows the notebook', () => {
  const before = info();
  const draft = {
    ...sheets.firstDraft(before, 'UTC'),
    name: 'Mine',
    parameters: { year: '1999' }
  };
  const after = info({ parameters: [parameter('int', 2025, 'year'), parameter('str', 'x', 'z')] });
  const carried = sheets.carryOver(draft, before, after);
  assert.equal(carried.name, 'Mine');
  assert.deepEqual(carried.parameters, { year: '1999', z: 'x' });
  const untouched = sheets.carryOver(sheets.firstDraft(before, 'UTC'), before, after);
  assert.equal(untouched.parameters.year, '2025');
});

test('a problem is shown at its field only where the form shows that field', () => {
  const known = info({ job: job() });
  const draft = sheets.firstDraft(known, 'UTC');
  const at = (field: string) =>
    sheets.place({ code: 'x', title: '', status: 422, field }, draft, known);
  assert.equal(at('name'), null, 'a version has no name of its own');
  assert.equal(at('cron'), 'schedule.cron');
  assert.equal(at('parameters.year'), 'parameters.year');
  assert.equal(at('kernel'), null);
});
