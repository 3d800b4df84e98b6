import { Clipboard } from '@jupyterlab/apputils';

/** Put text onto the clipboard, also where the page is served without TLS. */
export async function copyText(text: string): Promise<void> {
  try {
    // Not there outside of secure contexts, and not without the focus.
    await navigator.clipboard.writeText(text);
  } catch {
    Clipboard.copyToSystem(text);
  }
}
