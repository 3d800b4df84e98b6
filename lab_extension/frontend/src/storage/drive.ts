/** JupyterLab's default drive, which saves through our content provider. */

import { Drive, IDefaultDrive, IServerSettings, ServerConnection } from '@jupyterlab/services';
import type { Contents, ServiceManagerPlugin } from '@jupyterlab/services';

import { StorageProvider } from './provider.ts';

const PROVIDER = 'almanac:storage';

type SaveOptions = Partial<Contents.IModel> & Contents.IContentProvisionOptions;

export class StorageDrive extends Drive {
  readonly provider: StorageProvider;

  constructor(serverSettings: ServerConnection.ISettings) {
    super({ serverSettings });
    this.provider = new StorageProvider(serverSettings);
    this.contentProviderRegistry.register(PROVIDER, this.provider);
    this.fileChanged.connect((_, { type, oldValue, newValue }) => {
      if (type === 'delete' && oldValue?.path) {
        this.provider.deleted(oldValue.path);
      } else if (type === 'rename') {
        [oldValue?.path, newValue?.path].forEach(path => path && this.provider.moved(path));
      }
    });
  }

  get(path: string, options?: Contents.IFetchOptions): Promise<Contents.IModel> {
    return super.get(path, { contentProviderId: PROVIDER, ...defined(options) });
  }

  save(path: string, options?: SaveOptions): Promise<Contents.IModel> {
    return super.save(path, { contentProviderId: PROVIDER, ...defined(options) });
  }
}

/** Lab names a content provider always, and that of most files is undefined. */
function defined<T extends Contents.IContentProvisionOptions>(options: T | undefined): Partial<T> {
  const { contentProviderId, ...rest } = options ?? {};
  return (contentProviderId ? options : rest) as Partial<T>;
}

/**
 * In place of `@jupyterlab/services-extension:default-drive`: of two plugins
 * that provide the same, Lab takes the one that it is told of last, and it is
 * told of installed extensions after its own. Lab's is not disabled, so that a
 * page that cannot load this extension still has its files.
 */
export const drivePlugin: ServiceManagerPlugin<Contents.IDrive> = {
  id: 'almanac:drive',
  description: 'Saves to object storage on the condition that nobody else has written meanwhile.',
  autoStart: true,
  provides: IDefaultDrive,
  optional: [IServerSettings],
  activate: (_: null, settings: ServerConnection.ISettings | null) =>
    new StorageDrive(settings ?? ServerConnection.makeSettings())
};
