/** Files that the menu offers lines for; the lines themselves come from the server. Pure. */

const TABLES = ['csv', 'tsv', 'txt', 'parquet', 'pq', 'json', 'jsonl', 'ndjson'];
const COMPRESSED = ['gz', 'zst', 'bz2', 'xz'];

/** The format of a file as its name tells it: `csv` of `a.csv.gz`. */
export function formatOf(path: string): string {
  const parts = path.slice(path.lastIndexOf('/') + 1).toLowerCase().split('.');
  if (parts.length > 2 && COMPRESSED.includes(parts[parts.length - 1])) {
    parts.pop();
  }
  return parts.length > 1 ? parts[parts.length - 1] : '';
}

/** Whether the menu offers ways to read a file. */
export function isTable(path: string): boolean {
  return TABLES.includes(formatOf(path));
}
