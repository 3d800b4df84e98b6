/** Decisions about files in object storage, without a browser. Run by `node --test`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

const source = '../../../lab_extension/frontend/src/';
const { Bases } = await import(`${source}storage/bases.ts`);
const { Uploads } = await import(`${source}storage/uploads.ts`);
const { isVersion, placeOf, Places } = await import(`${source}storage/places.ts`);
const { readersOf } = await import(`${source}storage/readers.ts`);
const { local, localeOf, size, span } = await import(`${source}format.ts`);

test('a save is based on what Lab compared in the same turn, once', () => {
  const bases = new Bases();
  bases.compared('a', 'h1');
  assert.equal(bases.take('a'), 'h1');
  assert.equal(bases.take('a'), undefined);
  bases.turned('a');
  assert.equal(bases.take('a'), undefined);
});

test('a file that was not there must not be there when it is saved', () => {
  const bases = new Bases();
  bases.compared('a', null);
  assert.equal(bases.take('a'), null);
});

test('after the question whose version to keep, the save is based on what raised it', () => {
  const bases = new Bases();
  bases.compared('a', 'theirs');
  bases.turned('a');
  assert.equal(bases.take('a'), 'theirs');
  assert.equal(bases.take('a'), undefined);
});

test('what autosave sees while the question is open is not agreed to', () => {
  const bases = new Bases();
  bases.compared('a', 'theirs');
  bases.turned('a');
  bases.compared('a', 'later', { asking: true });
  bases.turned('a');
  assert.equal(bases.take('a'), 'theirs');
});

test('a question about something else does not hold a comparison back', () => {
  const bases = new Bases();
  bases.compared('a', 'theirs', { asking: true });
  bases.turned('a');
  assert.equal(bases.take('a'), 'theirs');
});

test('of two documents of one file each save has its own base', () => {
  const bases = new Bases();
  bases.compared('a', 'h1');
  assert.equal(bases.take('a'), 'h1');
  bases.compared('a', 'h1');
  assert.equal(bases.take('a'), 'h1');
});

test('a question in passing is forgotten with its turn', () => {
  const bases = new Bases();
  bases.compared('a', null, { passing: true });
  bases.turned('a');
  assert.equal(bases.take('a'), undefined);
});

test('the question after a save is answered with what was written, once and soon', () => {
  const bases = new Bases();
  const model = { hash: 'h2' };
  bases.wrote('a', model);
  assert.equal(bases.answer('a'), model);
  assert.equal(bases.answer('a'), undefined);
  const later = { hash: 'h3' };
  bases.wrote('a', later);
  bases.settled('a', model);
  assert.equal(bases.answer('a'), later);
  bases.wrote('a', later);
  bases.settled('a', later);
  assert.equal(bases.answer('a'), undefined);
});

test('nothing is kept of a file that is another one now', () => {
  const bases = new Bases();
  bases.compared('a', 'h1');
  bases.turned('a');
  bases.wrote('a', {});
  bases.forget('a');
  assert.equal(bases.take('a'), undefined);
  assert.equal(bases.answer('a'), undefined);
});

const numbered = () => {
  let last = 0;
  return new Uploads(() => `u${++last}`);
};

test('the chunks of an upload have one id, and the next upload another', () => {
  const uploads = numbered();
  assert.deepEqual(
    [1, 2, 3, -1].map(chunk => uploads.of('a', chunk, 0)),
    ['u1', 'u1', 'u1', 'u1']
  );
  uploads.ended('a', 'u1');
  assert.equal(uploads.of('a', 1, 0), 'u2');
  assert.equal(uploads.of('b', 1, 0), 'u3');
});

test('a second upload of a path is refused while the first goes on', () => {
  const uploads = numbered();
  uploads.of('a', 1, 0);
  assert.throws(() => uploads.of('a', 1, 59_999), { name: 'MixedUploads' });
  assert.equal(uploads.of('a', 2, 59_999), 'u1');
  assert.equal(uploads.of('a', 1, 119_999), 'u2');
  assert.throws(() => uploads.of('a', 3, 120_000), { name: 'MixedUploads' });
});

test('a chunk without its beginning is refused', () => {
  const uploads = numbered();
  assert.throws(() => uploads.of('a', 2, 0), /being uploaded already/);
  assert.throws(() => uploads.of('a', -1, 0), { name: 'MixedUploads' });
});

test('a failed upload can be begun anew', () => {
  const uploads = numbered();
  uploads.of('a', 1, 0);
  uploads.ended('a', 'u1');
  assert.equal(uploads.of('a', 1, 1), 'u2');
});

for (const [path, place] of [
  ['', ''],
  ['home', 'home'],
  ['home/a/b.csv', 'home'],
  ['projects', 'projects'],
  ['projects/prices', 'projects/prices'],
  ['projects/prices/a/b.csv', 'projects/prices']
]) {
  test(`the place of ${path || 'the top'} is ${place || 'the top'}`, () => {
    assert.equal(placeOf(path), place);
  });
}

test('versions are told by their folder', () => {
  assert.ok(isVersion('home/.versions/v1/a.csv'));
  assert.ok(!isVersion('home/versions/a.csv'));
});

const object = (root: string) => ({ kind: 'object', root });

test('a place is asked about once, and again when that is long ago', async () => {
  const asked: string[] = [];
  let now = 0;
  let changes = 0;
  const places = new Places(
    async (path: string) => (asked.push(path), object(path)),
    () => changes++,
    () => now
  );
  assert.equal(places.of('home/a'), null);
  await Promise.all([places.learn('home/a'), places.learn('home/b')]);
  await places.learn('home');
  assert.deepEqual(asked, ['home']);
  assert.equal(changes, 1);
  assert.equal(places.of('home/c/d')?.root, 'home');
  assert.equal(places.of('work/c'), null);
  now = 60_000;
  await places.learn('home');
  assert.deepEqual(asked, ['home', 'home']);
});

test('what is on disk is no object storage', async () => {
  const places = new Places(
    async () => ({ kind: 'disk', root: 'work' }),
    () => undefined
  );
  await places.learn('work/a');
  assert.equal(places.of('work/a'), null);
});

test('a server that cannot tell changes nothing of what was known', async () => {
  let now = 0;
  let works = true;
  const places = new Places(
    async () => {
      if (!works) {
        throw new Error('down');
      }
      return object('home');
    },
    () => undefined,
    () => now
  );
  await places.learn('home');
  now = 100_000;
  works = false;
  await places.learn('home');
  assert.equal(places.of('home')?.root, 'home');
});

test('what reads a file is told by the end of its name', () => {
  assert.deepEqual(readersOf('home/a.CSV.gz'), ['pandas', 'polars', 'duckdb', 'pyarrow', 'r-arrow']);
  assert.deepEqual(readersOf('home/a.csv/readme'), ['boto3', 'pyarrow', 'r-arrow']);
});

for (const [bytes, text] of [
  [0, '0 B'],
  [1023, '1,023 B'],
  [1024, '1 KB'],
  [1536, '1.5 KB'],
  [1024 ** 2 - 1, '1 MB'],
  [3.2 * 1024 ** 3, '3.2 GB'],
  [123.4 * 1024 ** 3, '123 GB'],
  [5000 * 1024 ** 5, '5,000 PB']
] as const) {
  test(`${bytes} bytes are ${text}`, () => {
    assert.equal(size(bytes, 'en'), text);
  });
}

for (const [seconds, text] of [
  [300, '5 minutes'],
  [3600, '1 hour'],
  [86_400, '1 day'],
  [604_800, '7 days'],
  [5400, '90 minutes'],
  [61, '61 seconds']
] as const) {
  test(`${seconds} seconds are ${text}`, () => {
    assert.equal(span(seconds, 'en'), text);
  });
}

test('what is no time is shown as it came', () => {
  assert.equal(local('soon'), 'soon');
});

for (const [code, locale] of [
  ['fr_FR', 'fr-FR'],
  ['default', 'en'],
  ['en', 'en']
]) {
  test(`the locale of ${code} is ${locale}`, () => {
    assert.equal(localeOf(code), locale);
  });
}
