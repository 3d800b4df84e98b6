/**
 * Which libraries the menu offers for a file. Pure.
 *
 * The lines themselves come from the server (`lab_extension/contents/rest/snippets.py`);
 * a menu is drawn before they could be asked for. A test holds the two together.
 */

const TYPES: [RegExp, string[]][] = [
  [/\.(csv|tsv|tab)(\.gz)?$/, ['pandas', 'polars', 'duckdb', 'pyarrow', 'r-arrow']],
  [/\.(parquet|parq|pq)$/, ['pandas', 'polars', 'duckdb', 'pyarrow', 'r-arrow']],
  [/\.(jsonl|ndjson)$/, ['pandas', 'polars', 'duckdb', 'pyarrow', 'r-arrow']],
  [/\.json$/, ['pandas', 'polars', 'duckdb', 'boto3', 'r-arrow']],
  [/\.(xlsx|xlsm)$/, ['pandas']],
  [/\.(feather|arrow|ipc)$/, ['pandas', 'polars', 'pyarrow', 'r-arrow']],
  [/\.dta$/, ['pandas']]
];

const ANY = ['boto3', 'pyarrow', 'r-arrow'];

/** The ids of the ways to read a file, by the end of its name. */
export function readersOf(path: string): string[] {
  const name = path.slice(path.lastIndexOf('/') + 1).toLowerCase();
  return TYPES.find(([pattern]) => pattern.test(name))?.[1] ?? ANY;
}
