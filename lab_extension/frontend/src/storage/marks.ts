/**
 * The stable names by which tests find things of object storage on the page:
 * `[data-testid="…"]` with the values below. Commands: `almanac:storage-copy-uri`,
 * `almanac:storage-copy-code` (argument `reader`), `almanac:storage-share`,
 * `almanac:storage-versions`, `almanac:storage-document-versions`,
 * `almanac:storage-deleted`.
 */
export const marks = {
  /** The line at the foot of the file browser. */
  usage: 'almanac-storage-usage',
  /** In that line, where the folder cannot be written. */
  readOnly: 'almanac-storage-read-only',
  /** Why the folder that is shown could not be read again. */
  stale: 'almanac-storage-stale',
  versions: 'almanac-storage-versions',
  deleted: 'almanac-storage-deleted',
  /** One row of either list; `data-version` has the version's id. */
  row: 'almanac-storage-row',
  empty: 'almanac-storage-empty',
  loading: 'almanac-storage-loading',
  failure: 'almanac-storage-failure',
  more: 'almanac-storage-more',
  open: 'almanac-storage-open',
  restore: 'almanac-storage-restore',
  restoreAll: 'almanac-storage-restore-all',
  download: 'almanac-storage-download',
  share: 'almanac-storage-share',
  duration: 'almanac-storage-duration',
  make: 'almanac-storage-make',
  link: 'almanac-storage-link',
  copy: 'almanac-storage-copy',
  expires: 'almanac-storage-expires'
} as const;
