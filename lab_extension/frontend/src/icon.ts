import { LabIcon } from '@jupyterlab/ui-components';

/** A page of the almanac with its day marked. */
export const almanacIcon = new LabIcon({
  name: 'almanac:almanac',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M19 4h-1V2h-2v2H8V2H6v2H5a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2V6a2 2 0 0 0-2-2zm0 16H5V10h14v10zm0-12H5V6h14v2z"/>
  <path class="jp-icon3" fill="#616161" d="M10 11.8v6.4l5-3.2z"/>
</svg>`
});
